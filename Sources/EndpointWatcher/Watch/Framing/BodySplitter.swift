/// Cuts the body of a response, which arrives in pieces cut anywhere, into messages.
///
/// No more is kept than the message at hand.
protocol BodySplitter: Sendable {
    /// Appends the messages that end in the chunk, those before a failure too.
    mutating func take(_ chunk: [UInt8], into messages: inout [BodyMessage]) throws(FramingFailure)

    /// True if the body may end here.
    var isAtEnd: Bool { get }
}

/// A part of a body that is decoded as one.
enum BodyMessage: Hashable, Sendable {
    /// An event of a watch, or an item of a list.
    case object(ArraySlice<UInt8>)
    case listMetadata(ArraySlice<UInt8>)
    /// An object of more bytes than `BodyLimits.object`, which was skipped.
    case tooLarge(bytes: Int)
}

/// A body that is not what its content type says, as the end of a sentence.
struct FramingFailure: Error, Hashable {
    var sentence: String
}

enum BodyLimits {
    /// How many bytes one object may have. etcd refuses requests above 1.5 MiB unless it is told otherwise, and JSON
    /// is not ten times as long as what etcd keeps.
    static let object = 16 << 20
    /// A length in front of a message that no server sends: text that is read as a length is above it.
    static let plausibleLength = 256 << 20
    /// How much of the body of a refusal is kept, in bytes.
    static let refusal = 64 << 10
}
