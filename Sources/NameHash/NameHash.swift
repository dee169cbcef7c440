import Crypto

/// The part of a chain's name that is a hash: 16 characters.
///
/// The first 80 bits of a SHA-256 in base32 (RFC 4648, without padding), as kube-proxy names its chains.
package struct NameHash: Hashable, Sendable {
    /// The 16 ASCII characters, the first in the most significant byte of the first word.
    private let words: (UInt64, UInt64)

    /// The hash of the bytes that the text of a name has.
    package init(of bytes: UnsafeRawBufferPointer) {
        var function = SHA256()
        function.update(bufferPointer: bytes)
        words = function.finalize().withUnsafeBytes { digest in
            (Self.base32(digest, from: 0), Self.base32(digest, from: 5))
        }
    }

    /// Eight characters for five bytes.
    @inline(__always)
    private static func base32(_ digest: UnsafeRawBufferPointer, from start: Int) -> UInt64 {
        var bits: UInt64 = 0
        for index in start..<start + 5 { bits = bits << 8 | UInt64(digest[index]) }
        var word: UInt64 = 0
        for index in 0..<8 {
            let digit = UInt8(truncatingIfNeeded: bits >> UInt64(35 - 5 * index) & 31)
            word = word << 8 | UInt64(digit < 26 ? 65 + digit : 24 + digit)
        }
        return word
    }

    /// Calls `body` with the 16 characters.
    @inline(__always)
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: (words.0.bigEndian, words.1.bigEndian), body)
    }

    package static func == (left: Self, right: Self) -> Bool { left.words == right.words }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
    }
}

extension NameHash: CustomStringConvertible {
    package var description: String { withBytes { String(decoding: $0, as: UTF8.self) } }
}
