import SystemPackage
import Testing

@testable import BatchApplier

@Suite("Netlink messages")
struct NetlinkTests {
    /// A message of the kernel, in the host's byte order.
    private func message(type: UInt16, flags: UInt16 = 0, sequence: UInt32, _ payload: [UInt8] = []) -> [UInt8] {
        bytes(of: UInt32(16 + payload.count)) + bytes(of: type) + bytes(of: flags) + bytes(of: sequence)
            + bytes(of: UInt32(0)) + payload + [UInt8](repeating: 0, count: (4 - payload.count % 4) % 4)
    }

    private func bytes(of number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number) { Array($0) } }

    private let errorType: UInt16 = 2
    private let doneType: UInt16 = 3
    private let multipart: UInt16 = 2
    private let answerType: UInt16 = 0x0a01

    @Test("a request has the bytes of its header and attributes, and takes its number from the counter")
    func request() throws {
        var batch = NetlinkBatch()
        batch.append(subsystem: 10, message: 4, family: 2, flags: 0x100) {
            $0.put(1, string: "nat")
            $0.put(2, bigEndian: UInt32(0x0102_0304))
            $0.nest(3) { $0.put(1, [9]) }
        }
        batch.append(subsystem: 10, message: 4, family: 2)
        var sequence = NetlinkSequence(startingAt: 77)
        batch.number(from: sequence.take(batch.count))
        batch.add(flags: 4, to: 1)
        let first: [UInt8] =
            bytes(of: UInt32(48)) + [4, 10] + bytes(of: UInt16(0x101)) + bytes(of: UInt32(77)) + [0, 0, 0, 0]
            + [2, 0, 0, 0] + bytes(of: UInt16(8)) + bytes(of: UInt16(1)) + Array("nat\0".utf8)
            + bytes(of: UInt16(8)) + bytes(of: UInt16(2)) + [1, 2, 3, 4]
            + bytes(of: UInt16(12)) + bytes(of: UInt16(0x8003)) + bytes(of: UInt16(5)) + bytes(of: UInt16(1))
            + [9, 0, 0, 0]
        let second: [UInt8] =
            bytes(of: UInt32(20)) + [4, 10] + bytes(of: UInt16(5)) + bytes(of: UInt32(78)) + [0, 0, 0, 0] + [
                2, 0, 0, 0,
            ]
        #expect(batch.bytes == first + second)
        #expect(sequence.take(1) == 79)
    }

    @Test("an attribute longer than 64 KiB is noticed, not sent with a wrong length")
    func longAttribute() {
        var batch = NetlinkBatch()
        batch.append(subsystem: 10, message: 4, family: 2) { $0.put(1, [UInt8](repeating: 0, count: 65531)) }
        #expect(!batch.isTooLong)
        batch.append(subsystem: 10, message: 4, family: 2) { $0.put(1, [UInt8](repeating: 0, count: 65532)) }
        #expect(batch.isTooLong)
    }

    @Test("attributes are read as they were written")
    func attributes() throws {
        var batch = NetlinkBatch()
        batch.append(subsystem: 10, message: 4, family: 2) {
            $0.put(1, string: "nat")
            $0.nest(3) { $0.put(7, bigEndian: UInt64(1) << 40) }
        }
        var rest = batch.bytes[...]
        let message = try #require(NetlinkMessage(takenFrom: &rest))
        #expect(rest.isEmpty && message.netfilterFamily == 2 && message.netfilterType == 4)
        let attributes = message.netfilterAttributes
        #expect(attributes.map(\.type) == [1, 3])
        #expect(attributes[1]?.payload.string == "nat")
        #expect(attributes[3]?.nested[7]?.payload.bigEndian(UInt64.self) == 1 << 40)
        #expect(attributes[3]?.nested[7]?.payload.bigEndian(UInt32.self, at: 5) == nil)
    }

    @Test("no bytes make the readers read beyond them")
    func anyBytes() {
        var batch = NetlinkBatch()
        batch.append(subsystem: 10, message: 4, family: 2) {
            $0.nest(1) { $0.put(2, string: "abc") }
            $0.put(3, bigEndian: UInt16(1))
        }
        batch.number(from: 1)
        var random = SystemRandomNumberGenerator()
        for round in 0..<20_000 {
            var bytes = batch.bytes
            // A few damaged bytes, and then also an end anywhere.
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let end = round % 2 == 0 ? bytes.count : Int.random(in: 0...bytes.count, using: &random)
            var replies = NetlinkReplies(.dump, firstSequence: 1)
            replies.received(bytes[..<end]) { message in
                for attribute in message.netfilterAttributes {
                    _ = attribute.payload.string
                    for inner in attribute.nested { _ = inner.payload.bigEndian(UInt32.self) }
                }
            }
        }
    }

    @Test("a dump hands out its own messages only, and ends with the end of its own")
    func dump() {
        var replies = NetlinkReplies(.dump, firstSequence: 5)
        var seen: [UInt8] = []
        let datagram =
            message(type: answerType, flags: multipart, sequence: 4, [1])
            + message(type: doneType, sequence: 4) + message(type: answerType, flags: multipart, sequence: 5, [2])
        replies.received(datagram[...]) { seen += $0.payload }
        #expect(seen == [2] && !replies.isOver)
        let end =
            message(type: answerType, flags: multipart, sequence: 5, [3])
            + message(type: doneType, flags: multipart, sequence: 5, bytes(of: Int32(0)))
            + message(type: answerType, flags: multipart, sequence: 6, [4])
        replies.received(end[...]) { seen += $0.payload }
        #expect(seen == [2, 3] && replies.isOver && replies.failures == [] && !replies.wasInterrupted)
    }

    @Test("a dump that was interrupted, or ended by an error, says so")
    func dumpFailures() {
        var interrupted = NetlinkReplies(.dump, firstSequence: 5)
        interrupted.received(message(type: doneType, flags: multipart | 0x10, sequence: 5, bytes(of: Int32(0)))[...]) {
            _ in
        }
        #expect(interrupted.isOver && interrupted.wasInterrupted)
        var failed = NetlinkReplies(.dump, firstSequence: 5)
        failed.received(message(type: doneType, flags: multipart, sequence: 5, bytes(of: Int32(-12)))[...]) { _ in }
        #expect(failed.isOver && failed.failures.map(\.errno) == [.noMemory])
        var refused = NetlinkReplies(.dump, firstSequence: 5)
        refused.received(message(type: errorType, sequence: 5, bytes(of: Int32(-16)))[...]) { _ in }
        #expect(refused.isOver && refused.failures.map(\.errno) == [.resourceBusy])
    }

    @Test("acknowledgements are read to the last, past those that name failures", arguments: [100, UInt32.max - 1])
    func acknowledgements(first: UInt32) {
        var replies = NetlinkReplies(.acknowledgement, firstSequence: first, requestCount: 4)
        let header = message(type: answerType, sequence: first &+ 1)
        let failure = message(type: errorType, flags: 0x100, sequence: first &+ 1, bytes(of: Int32(-2)) + header)
        replies.received((failure + message(type: errorType, sequence: first &+ 9, bytes(of: Int32(-1))))[...]) { _ in }
        #expect(!replies.isOver)
        replies.received(message(type: errorType, sequence: first &+ 2, bytes(of: Int32(-1)) + header)[...]) { _ in }
        replies.received(message(type: errorType, sequence: first &+ 3, bytes(of: Int32(0)) + header)[...]) { _ in }
        #expect(replies.isOver)
        #expect(replies.failures.map(\.index) == [1, 2])
        #expect(replies.failures.map(\.errno) == [.noSuchFileOrDirectory, .notPermitted])
    }

    @Test("a request that comes back whole is kept with its failure, and only then")
    func echo() {
        let request = message(type: answerType, sequence: 5, [1, 2, 3, 4])
        func echo(_ flags: UInt16, _ request: [UInt8]) -> [UInt8]? {
            var replies = NetlinkReplies(.acknowledgement, firstSequence: 5)
            replies.received(message(type: errorType, flags: flags, sequence: 5, bytes(of: Int32(-2)) + request)[...]) {
                _ in
            }
            return replies.failures.first?.echo
        }
        #expect(echo(0, request) == request)
        // NLM_F_CAPPED, and a request that is shorter than it says.
        #expect(echo(0x100, Array(request[..<16])) == nil)
        #expect(echo(0, Array(request[..<18])) == nil)
        #expect(echo(0, message(type: answerType, sequence: 5)) == nil)
    }

    @Test("the kernel's explanation is found behind the request, whole or its header alone", arguments: [true, false])
    func explanation(isCapped: Bool) {
        var request = NetlinkBatch()
        request.append(subsystem: 10, message: 4, family: 2) { $0.put(1, string: "some name") }
        request.number(from: 5)
        let text = Array("not so\0".utf8)
        let attribute = bytes(of: UInt16(4 + UInt16(text.count))) + bytes(of: UInt16(1)) + text + [0]
        let payload = bytes(of: Int32(-22)) + (isCapped ? Array(request.bytes.prefix(16)) : request.bytes) + attribute
        var replies = NetlinkReplies(.message, firstSequence: 5)
        replies.received(message(type: errorType, flags: isCapped ? 0x300 : 0x200, sequence: 5, payload)[...]) { _ in }
        #expect(replies.failures.map(\.explanation) == ["not so"])
        let error = NetlinkError(operation: "ask", errno: .invalidArgument, explanation: "not so", index: 3)
        #expect("\(error)".hasPrefix("netlink: cannot ask (request 3): ") && "\(error)".hasSuffix(": not so"))
    }

    @Test("an answer cut off ends the exchange with an error instead of a wait")
    func cutOff() {
        var replies = NetlinkReplies(.dump, firstSequence: 5)
        let datagram = message(type: answerType, flags: multipart, sequence: 5, [1, 2, 3, 4])
        replies.received(datagram.dropLast()) { _ in Issue.record("a message that is not whole") }
        #expect(replies.isOver && replies.failures.map(\.errno) == [.badMessage])
    }

    @Test("an element that a listing has twice is noticed, in one message or in two, and the end of a range is another")
    func repetitions() throws {
        func listing(_ messages: [[(key: UInt32, flags: UInt32?)]]) throws -> Bool {
            var listing = SetListing()
            for elements in messages {
                var batch = NetlinkBatch()
                batch.append(subsystem: 10, message: 12, family: 2) { list in
                    list.nest(3) {
                        for element in elements {
                            $0.nest(1) {
                                $0.nest(1) { $0.put(1, bigEndian: element.key) }
                                if let flags = element.flags { $0.put(3, bigEndian: flags) }
                            }
                        }
                    }
                }
                var rest = batch.bytes[...]
                listing.received(try #require(NetlinkMessage(takenFrom: &rest)))
            }
            return listing.hasRepetitions
        }
        #expect(try !listing([[(1, nil), (2, nil)], [(3, nil)], []]))
        #expect(try listing([[(1, nil), (2, nil), (1, nil)]]))
        #expect(try listing([[(1, nil), (2, nil)], [(3, nil), (2, nil)]]))
        #expect(try !listing([[(1, nil), (2, 1)], [(2, nil), (3, 1)]]))
    }
}
