import NFTBackend
import ProxyCore
import Testing

@Suite("What a refused message is about")
struct BatchNamingTests {
    private static let key: [[NFTValue]] = ["172.30.1.1", "172.30.1.2"].compactMap { text in
        IPAddress(text).map { [.address($0), .protocol(.tcp), .port(80)] }
    }

    private let batch = NFTablesBatch(
        NFTTransaction(
            .init(family: .ipv4, name: "switchyard", comment: nil),
            [
                .addTable, .addChain(NFTChain(name: "services")),
                .addRule(NFTRule(.verdict(.drop)), chain: "services"),
                .addElement(
                    NFTElement(set: "service-ips", key: Self.key[0], datum: .verdict(.drop), comment: "ns1/web:http")),
                .addElement(
                    NFTElement(set: "service-ips", key: Self.key[1], datum: .verdict(.drop), comment: "ns1/dns:dns")),
            ]))

    @Test("is named by table, chain or set")
    func messages() {
        #expect(batch.offsets.count == 4)
        #expect(batch.object(ofMessage: 0, at: nil) == "table switchyard")
        #expect(batch.object(ofMessage: 1, at: nil) == "chain services")
        #expect(batch.object(ofMessage: 2, at: nil) == "a rule of chain services")
        #expect(batch.object(ofMessage: 3, at: nil) == "elements of service-ips")
        #expect(batch.object(ofMessage: 4, at: nil) == nil)
        #expect(batch.object(ofMessage: -1, at: nil) == nil)
    }

    @Test("is the element in whose bytes the kernel saw the fault, with its service")
    func elements() throws {
        let message = Array(batch.bytes[batch.offsets[3]...])
        for (last, service) in [(UInt8(1), "ns1/web:http"), (2, "ns1/dns:dns")] {
            let address: [UInt8] = [172, 30, 1, last]
            let place = try #require(message.indices.first { message[$0...].starts(with: address) })
            let name = "element 172.30.1.\(last) . tcp . 80 of service-ips (\(service))"
            #expect(batch.object(ofMessage: 3, at: place) == name)
        }
        for place in [0, 20, message.count, .max] {
            #expect(batch.object(ofMessage: 3, at: place) == "elements of service-ips")
        }
    }

    @Test("that nobody knows the type of is shown byte by byte")
    func unknownSet() throws {
        let change = NFTChange.addElement(NFTElement(set: "strangers", key: [.port(80), .number(0)]))
        let batch = NFTablesBatch(
            NFTTransaction(.init(family: .ipv4, name: "switchyard", comment: nil), [change]))
        let place = try #require(batch.bytes.indices.first { batch.bytes[$0...].starts(with: [0, 80, 0, 0]) })
        #expect(batch.object(ofMessage: 0, at: place) == "element 0x0050000000000000 of strangers")
    }
}
