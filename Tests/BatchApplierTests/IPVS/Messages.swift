import CMnl
import Testing

@testable import BatchApplier

/// Messages as hexadecimal text, and back as the kernel would send them.
enum Messages {
    /// Bytes without their blanks and line ends; the numbers of little-endian machines.
    static func hex(_ batch: NetlinkBatch) -> String {
        batch.bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    static func plain(_ text: String) -> String { String(text.filter(\.isHexDigit)) }

    /// The first request of a batch, read as a message.
    static func message(_ batch: NetlinkBatch) throws -> NetlinkMessage {
        var bytes = batch.bytes[...]
        return try #require(NetlinkMessage(takenFrom: &bytes))
    }

    /// Hands out messages of which some bytes are damaged, or that end anywhere.
    static func damaged(_ batch: NetlinkBatch, rounds: Int = 10_000, _ each: (NetlinkMessage) -> Void) {
        var random = SystemRandomNumberGenerator()
        for round in 0..<rounds {
            var bytes = batch.bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 16..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if round % 2 == 1 {
                let end = Int.random(in: 16...bytes.count, using: &random)
                bytes = Array(bytes[..<end])
                withUnsafeBytes(of: UInt32(end)) { bytes.replaceSubrange(0..<4, with: $0) }
            }
            var rest = bytes[...]
            if let message = NetlinkMessage(takenFrom: &rest) { each(message) }
        }
    }
}
