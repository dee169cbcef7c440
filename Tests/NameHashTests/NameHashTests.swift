import NameHash
import Testing

@Suite("NameHash")
struct NameHashTests {
    /// Texts and the chains that kube-proxy 1.36.2 names by them.
    @Test(
        "hashes as kube-proxy does",
        arguments: [
            ("ns1/web:httptcp", "4LVCYZMTA5CQO6SX"),
            ("ns1/web:httptcp10.180.0.9:8080", "36J3BVZODLXILZDO"),
            ("ns1/web:httptcp[fd00:10:180:1::9]:8080", "XMV532GGKVVW25VV"),
        ])
    func hash(_ text: String, _ expected: String) {
        #expect(Array(text.utf8).withUnsafeBytes(NameHash.init(of:)).description == expected)
    }
}
