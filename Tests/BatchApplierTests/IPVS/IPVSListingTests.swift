import ProxyCore
import Testing

@testable import BatchApplier

@Suite("Listings of virtual servers")
struct IPVSListingTests {
    private let keys = (0..<4).map { VirtualServer.Key(IPAddress(ipv4: 0xac1e_0000 + $0), .tcp, 80) }

    private func listed(_ listings: [[Int]]) throws(NetlinkError) -> (servers: Set<VirtualServer.Key>, count: Int) {
        var count = 0
        let whole = try IPVSListing.whole { () throws(NetlinkError) in
            let numbers = listings[min(count, listings.count - 1)]
            count += 1
            // What nobody changes is of the last listing.
            return Dictionary(uniqueKeysWithValues: numbers.map { (keys[$0], count) })
        }
        #expect(whole.values.allSatisfy { $0 == count })
        return (Set(whole.keys), count)
    }

    @Test("are repeated until two are of the same ones, as one may pass over some")
    func repetition() throws {
        let twice = try listed([[0, 1, 2, 3]])
        #expect(twice.servers == Set(keys) && twice.count == 2)
        let empty = try listed([[]])
        #expect(empty.servers.isEmpty && empty.count == 2)
        let passedOver = try listed([[0, 1, 3], [1, 2], [1, 2, 3]])
        #expect(passedOver.servers == Set(keys[1...]) && passedOver.count == 4)
    }

    @Test("fail where they never are")
    func restlessness() {
        let error = #expect(throws: NetlinkError.self) {
            var isEven = false
            _ = try IPVSListing.whole { () throws(NetlinkError) in
                isEven.toggle()
                return [keys[isEven ? 0 : 1]: true]
            }
        }
        #expect(error?.isInterruptedDump == true)
    }
}
