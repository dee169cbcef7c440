import Foundation
package import ProxyCore

/// What `nftables-peer` is asked for, by a test that is not in its namespace.
package enum NFTablesRequest: Codable, Sendable {
    case generation
    case commit(BatchBytes, after: UInt32?)
    case read(family: String, table: String, withElements: Bool)
    /// Commits the two by turns until it is killed; the reply comes before the first.
    case alternate(BatchBytes, BatchBytes)

    /// A batch as it is sent.
    package struct BatchBytes: Codable, Sendable {
        private var family: String
        private var table: String
        private var bytes: Data
        private var offsets: [Int]
        private var fault: String?

        package init(_ batch: NFTablesBatch) {
            family = batch.family.rawValue
            table = batch.table
            bytes = Data(batch.bytes)
            offsets = batch.offsets
            fault = batch.fault
        }

        package var batch: NFTablesBatch {
            var batch = NFTablesBatch(
                family: IPFamily(rawValue: family) ?? .ipv4, table: table, bytes: Array(bytes), offsets: offsets)
            batch.fault = fault
            return batch
        }
    }
}

/// What it answers.
package enum NFTablesReply: Codable, Sendable {
    case generation(UInt32?)
    case table(Listing)
    case noTable
    case failure(Failure)

    /// The messages in which the kernel lists a table.
    package struct Listing: Codable, Sendable {
        package var generation: UInt32
        private var types = Data()
        private var lengths: [Int] = []
        private var payloads = Data()

        package init(generation: UInt32, messages: some Sequence<(type: UInt8, payload: [UInt8])>) {
            self.generation = generation
            for message in messages {
                types.append(message.type)
                lengths.append(message.payload.count)
                payloads.append(contentsOf: message.payload)
            }
        }

        package var messages: [(type: UInt8, payload: [UInt8])] {
            var start = payloads.startIndex
            return zip(types, lengths).map { type, length in
                defer { start += length }
                return (type, Array(payloads[start..<start + length]))
            }
        }
    }

    package struct Failure: Codable, Error, Sendable, CustomStringConvertible {
        package var kind: String
        package var sentence: String
        package var errno: Int32
        /// The message that was refused, and the byte within it.
        package var message: Int?
        package var offset: Int?

        package init(kind: String, sentence: String, errno: Int32, message: Int?, offset: Int?) {
            self.kind = kind
            self.sentence = sentence
            self.errno = errno
            self.message = message
            self.offset = offset
        }

        package var description: String { sentence }
    }
}

/// Values on a pipe, each as JSON behind eight bytes with its length.
package enum ValuePipe {
    package static func write(_ value: some Encodable, to descriptor: Int32) throws {
        let json = try JSONEncoder().encode(value)
        var bytes = withUnsafeBytes(of: UInt64(json.count)) { Data($0) }
        bytes.append(json)
        try bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                guard count > 0 else { throw CommandFailure("the other end of a pipe is gone") }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// The next value; nil at the end.
    package static func read<Value: Decodable>(_ type: Value.Type, from descriptor: Int32) throws -> Value? {
        guard let header = bytes(8, from: descriptor) else { return nil }
        let length = header.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        guard let json = bytes(Int(length), from: descriptor) else { return nil }
        return try JSONDecoder().decode(type, from: json)
    }

    private static func bytes(_ count: Int, from descriptor: Int32) -> Data? {
        var data = Data(count: count)
        let isWhole = data.withUnsafeMutableBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let count = Glibc.read(
                    descriptor, UnsafeMutableRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
        return isWhole ? data : nil
    }
}
