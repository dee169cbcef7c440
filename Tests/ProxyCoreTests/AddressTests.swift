import ProxyCore
import Testing

@Suite("Addresses")
struct AddressTests {
    @Test(
        "are read as Kubernetes reads them and printed as RFC 5952 has it",
        arguments: [
            ("172.30.0.041", "172.30.0.41"), ("1.2.3.004", "1.2.3.4"), ("192.168.099.022", "192.168.99.22"),
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("0:0:1:0:0:0:0:1", "0:0:1::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"), ("::ffff:a00:1", "10.0.0.1"), ("64:ff9b::10.0.0.1", "64:ff9b::a00:1"),
            ("fd00:10:96::11", "fd00:10:96::11"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ])
    func canonical(_ text: String, _ expected: String) {
        #expect(IPAddress(text)?.description == expected)
    }

    @Test(
        "that are none are refused",
        arguments: [
            "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.", ".1.2.3", "1..2.3", "a.b.c.d", " 1.2.3.4", "1.2.3.4 ",
            ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "::g", "fe80::1%eth0", "1:", ":1",
            "::1.2.3", "1:2:3:4:5:6:7::8:9", "+1.2.3.4", "1.2.3.4/8", "<nil>",
        ])
    func refused(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(
        "ranges are printed masked",
        arguments: [
            ("10.1.2.3/8", "10.0.0.0/8"), ("203.0.113.000/025", "203.0.113.0/25"), ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00:10:180::5/48", "fd00:10:180::/48"), ("::/0", "::/0"), ("2001:db8::1/128", "2001:db8::1/128"),
            ("2001:db8:ffff:ffff:ffff::/63", "2001:db8:ffff:fffe::/63"), ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ])
    func ranges(_ text: String, _ expected: String) {
        #expect(CIDR(text)?.description == expected)
    }

    @Test(
        "ranges that are none are refused",
        arguments: [
            "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "/8", "10.0.0.0/-1", "10.0.0.0/8/8", "::ffff:10.0.0.0/95",
        ])
    func refusedRanges(_ text: String) {
        #expect(CIDR(text) == nil)
    }

    @Test("ranges contain addresses of their own family only")
    func contains() throws {
        let range = try #require(CIDR("10.180.0.0/16"))
        #expect(range.contains(try #require(IPAddress("10.180.255.255"))))
        #expect(!range.contains(try #require(IPAddress("10.181.0.0"))))
        #expect(!CIDR.everything(.ipv6).contains(try #require(IPAddress("10.180.0.1"))))
        #expect(!CIDR.everything(.ipv4).contains(try #require(IPAddress("fd00::1"))))
    }

    @Test("names that could end a rule are refused", arguments: ["", "a b", "a\"b", "a\nb", "a'b", "ä", "a/b", "a\\"])
    func names(_ text: String) {
        #expect(ObjectName(namespace: "default", name: text) == nil)
        #expect(ObjectName(namespace: text, name: "web") == nil)
    }
}
