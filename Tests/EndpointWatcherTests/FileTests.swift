import Foundation
import ProxyCore
import Testing

@testable import EndpointWatcher

@Suite("Files")
struct FileTests {
    @Test("that cannot be read are told together")
    func unreadable() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let empty = folder.appending(path: "empty.yaml").path()
        try Data().write(to: URL(filePath: empty))
        let missing = folder.appending(path: "missing.yaml").path()
        #expect {
            try ManifestReader.read(paths: [missing, folder.path(), empty])
        } throws: { error in
            (error as? InputError)?.description == """
                \(missing): error: cannot be opened: No such file or directory
                \(folder.path()): error: cannot be read: Is a directory
                \(empty): error: has no documents
                """
        }
        #expect {
            try ConfigurationReader.read(path: missing)
        } throws: { error in
            (error as? InputError)?.description == "\(missing): error: cannot be opened: No such file or directory"
        }
    }

    @Test("are read one after another")
    func several() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let paths = ["a", "b"].map { folder.appending(path: "\($0).yaml").path() }
        for path in paths {
            let padding = String(repeating: "# padding\n", count: 200_000)
            try Data("\(padding)apiVersion: v1\nkind: Service\nmetadata: {name: web}\n".utf8).write(
                to: URL(filePath: path))
        }
        let found = try ManifestReader.read(paths: paths)
        #expect(found.services.count == 1)
        #expect(
            found.diagnostics.map(\.description) == [
                "\(paths[1]):200001: note: Service default/web: is also in \(paths[0]):200001; the later one, here, is taken"
            ])
    }

    @Test("are split the same, however small the pieces are", arguments: [1, 2, 3, 5, 1000])
    func pieces(_ size: Int) throws {
        let text = "\u{feff}# x\n---\na: 1\n--- # c\n\nb: |\n  --- no\n  ----\n...\n---\n---x\n--- {c: 1}\r\n---\r\n"
        var rest = [UInt8](text.utf8)[...]
        var reader = try DocumentReader { (buffer) throws(ReadFailure) in
            buffer += rest.prefix(size)
            rest = rest.dropFirst(size)
            return !rest.isEmpty
        }
        var found: [String] = []
        while let document = try reader.next() {
            let text = String(decoding: document.bytes, as: UTF8.self)
            found.append("\(document.line) \(document.contentLine) \(text)")
        }
        #expect(
            found == [
                "2 3 \na: 1\n", "4 6  # c\n\nb: |\n  --- no\n  ----\n", "10 11 \n---x\n", "12 12  {c: 1}\r\n",
            ])
    }
}

@Suite("Fuzzing")
struct FuzzTests {
    /// A generator with a fixed seed: xorshift.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64 = 0x9e37_79b9_7f4a_7c15

        mutating func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
    }

    private static let manifests = [
        """
        apiVersion: v1
        kind: List
        items:
        - apiVersion: v1
          kind: Service
          metadata: &meta {name: web, namespace: ns, labels: {a: "b"}}
          spec:
            type: LoadBalancer
            clusterIP: 10.0.0.1
            ports: [{name: a, port: 80, nodePort: 0x7530}, {port: 53, protocol: UDP}]
            loadBalancerSourceRanges: ["10.0.0.0/8"]
        - {apiVersion: v1, kind: Node, metadata: *meta, spec: {podCIDR: 10.0.0.0/24}}
        --- # next
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata:
          <<: *none
        """,
        """
        {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
         "metadata": {"name": "a", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv6",
         "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "endpoints": [{"addresses": ["fd00::1"],
         "conditions": {"ready": true}, "hints": {"forZones": [{"name": "a\\u00e9\\n"}]}}]}]}
        ---
        {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "k"}, "spec": {"cidrs": ["fd00::/64"]}}
        """,
        """
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration
        clusterCIDR: 10.0.0.0/8,fd00::/64
        iptables: {syncPeriod: 1h2m3.5s, masqueradeBit: 3}
        nodePortAddresses: [primary]
        """,
    ]

    @Test("bytes of a manifest never crashes", arguments: [0, 1, 2])
    func mutations(_ index: Int) {
        var generator = Generator()
        let alphabet = [UInt8]("{}[]\"'&*:,-#|>%!?~ \n\t\\.09azA\u{0}\u{7f}\u{e9}".utf8)
        let original = [UInt8](Self.manifests[index].utf8)
        var read = 0
        for _ in 0..<700 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                let byte = alphabet.randomElement(using: &generator) ?? 0
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[place] = byte
                case 1: bytes.insert(byte, at: place)
                case 2: bytes.removeSubrange(place..<min(place + 3, bytes.count - 1))
                default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                }
            }
            do throws(InputError) {
                if index == 2 {
                    _ = try ConfigurationReader.read(bytes, name: "x")
                } else {
                    _ = try ManifestReader.read(bytes, name: "x")
                }
                read += 1
            } catch {
                #expect(!error.diagnostics.isEmpty)
            }
        }
        #expect(read < 700)
    }
}
