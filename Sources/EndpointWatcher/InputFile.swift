#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A file that could not be read.
struct ReadFailure: Error {
    /// The sentence about the file: `cannot be opened: No such file or directory`.
    var sentence: String

    init(sentence: String) {
        self.sentence = sentence
    }

    init(_ operation: String, errno code: Int32) {
        sentence = "cannot be \(operation): \(String(cString: strerror(code)))"
    }
}

/// Reads a file, or standard input for `-`, in pieces.
final class InputFile {
    private static let pieceSize = 1 << 20
    private let descriptor: Int32

    init(path: String) throws(ReadFailure) {
        descriptor = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ReadFailure("opened", errno: errno) }
    }

    deinit {
        if descriptor != 0 { close(descriptor) }
    }

    /// Appends the next piece; false at the end of the file.
    func read(into buffer: inout [UInt8]) throws(ReadFailure) -> Bool {
        let used = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: Self.pieceSize))
        var count = -1
        var code: Int32 = 0
        repeat {
            (count, code) = buffer.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return (0, 0) }
                #if canImport(Glibc)
                    let count = Glibc.read(descriptor, base + used, Self.pieceSize)
                #else
                    let count = Darwin.read(descriptor, base + used, Self.pieceSize)
                #endif
                return (count, errno)
            }
        } while count < 0 && code == EINTR
        buffer.removeLast(Self.pieceSize - max(count, 0))
        guard count >= 0 else { throw ReadFailure("read", errno: code) }
        return count > 0
    }
}
