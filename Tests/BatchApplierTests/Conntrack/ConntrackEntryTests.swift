import CMnl
import ProxyCore
import SystemPackage
import Testing

@testable import BatchApplier

@Suite("Conntrack messages")
struct ConntrackEntryTests {
    /// A message as the kernel sends it for 198.51.100.1:4000 → 172.30.0.10:53, answered by 10.0.0.1:5353.
    private func message(
        protocol number: UInt8 = 17, zone: UInt16? = nil, tupleZone: UInt16? = nil
    ) throws -> (NetlinkMessage, [UInt8]) {
        var batch = NetlinkBatch()
        batch.append(subsystem: NFNL_SUBSYS_CTNETLINK, message: 0, family: 2) { writer in
            func tuple(_ type: UInt32, _ source: [UInt8], _ sourcePort: UInt16, _ to: [UInt8], _ port: UInt16) {
                writer.nest(Int(type)) { tuple in
                    tuple.nest(1) {
                        $0.put(1, source)
                        $0.put(2, to)
                    }
                    tuple.nest(2) {
                        $0.put(1, [number])
                        $0.put(2, bigEndian: sourcePort)
                        $0.put(3, bigEndian: port)
                    }
                    if let tupleZone { tuple.put(3, bigEndian: tupleZone) }
                }
            }
            tuple(CTA_TUPLE_ORIG.rawValue, [198, 51, 100, 1], 4000, [172, 30, 0, 10], 53)
            tuple(CTA_TUPLE_REPLY.rawValue, [10, 0, 0, 1], 5353, [198, 51, 100, 1], 4000)
            writer.put(Int(CTA_STATUS.rawValue), bigEndian: UInt32(8))
            writer.put(Int(CTA_ID.rawValue), bigEndian: UInt32(0x0102_0304))
            if let zone { writer.put(Int(CTA_ZONE.rawValue), bigEndian: zone) }
        }
        var bytes = batch.bytes[...]
        return (try #require(NetlinkMessage(takenFrom: &bytes)), batch.bytes)
    }

    @Test("an entry's destination and the source of its answers are read, and its identity is kept")
    func read() throws {
        let entry = try #require(ConntrackEntry(message().0))
        #expect("\(entry.flow.destination) \(entry.flow.replySource)" == "172.30.0.10:53 10.0.0.1:5353")
        #expect(entry.id == [1, 2, 3, 4])
    }

    @Test("other protocols and other zones are passed over")
    func others() throws {
        #expect(ConntrackEntry(try message(protocol: 6).0) == nil)
        #expect(ConntrackEntry(try message(zone: 7).0) == nil)
        #expect(ConntrackEntry(try message(tupleZone: 7).0) == nil)
        #expect(ConntrackEntry(try message(zone: 0).0) != nil)
    }

    @Test("a deletion names the tuple, without which the kernel would delete everything, and the identity")
    func deletion() throws {
        let entry = try #require(ConntrackEntry(message().0))
        var batch = NetlinkBatch()
        ConntrackRequests.append(deletionOf: entry, .ipv4, to: &batch)
        var bytes = batch.bytes[...]
        let request = try #require(NetlinkMessage(takenFrom: &bytes))
        #expect(request.type == UInt16(NFNL_SUBSYS_CTNETLINK) << 8 | 2)
        #expect(request.netfilterFamily == 2)
        let attributes = request.netfilterAttributes
        #expect(Array(attributes).count == 2)
        #expect(attributes[Int(CTA_TUPLE_ORIG.rawValue)]?.payload == entry.originalTuple)
        #expect(attributes[Int(CTA_ID.rawValue)]?.payload == [1, 2, 3, 4])
    }

    @Test("bytes that are cut, or changed, are no entry or another one, and never more than that")
    func hostile() throws {
        let whole = try message().1
        for length in 0..<whole.count {
            var bytes = whole
            bytes.removeLast(whole.count - length)
            bytes.withUnsafeMutableBytes {
                if $0.count >= 4 { $0.storeBytes(of: UInt32(length), as: UInt32.self) }
            }
            var rest = bytes[...]
            guard let cut = NetlinkMessage(takenFrom: &rest) else { continue }
            // The identity comes last: an entry without it has both tuples whole.
            if let entry = ConntrackEntry(cut) { #expect(entry.originalTuple.count == 48) }
        }
        var entries = 0
        for place in 16..<whole.count {
            for value in [0, 1, 0x7f, 0xff] as [UInt8] where value != whole[place] {
                var bytes = whole
                bytes[place] = value
                var rest = bytes[...]
                if let changed = NetlinkMessage(takenFrom: &rest), ConntrackEntry(changed) != nil { entries += 1 }
            }
        }
        #expect(entries > 0)
    }

    @Test(
        "errors that no waiting mends are told from others",
        arguments: [
            (Errno.invalidArgument, true), (.notPermitted, true), (.protocolNotSupported, true),
            (.noBufferSpace, false),
            (.timedOut, false), (.resourceBusy, false),
        ])
    func errors(errno: Errno, isUnavailable: Bool) {
        let error = ConntrackError(NetlinkError(operation: "list UDP connections", errno: errno))
        if case .unavailable = error { #expect(isUnavailable) } else { #expect(!isUnavailable) }
        #expect("\(error)".contains("stale UDP flows"))
    }
}
