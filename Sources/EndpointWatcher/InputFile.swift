import Glibc

/// A file that could not be read.
package struct ReadFailure: Error {
    /// The sentence about the file: `cannot be opened: No such file or directory`.
    package var sentence: String

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

    /// Takes over an open descriptor.
    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        if descriptor != 0 { close(descriptor) }
    }

    /// Appends the next piece; false at the end of the file.
    func read(into buffer: inout [UInt8]) throws(ReadFailure) -> Bool {
        var code: Int32 = 0
        // Not zeroed first: that would cost more than reading.
        let piece = [UInt8](unsafeUninitializedCapacity: Self.pieceSize) { bytes, count in
            var result = -1
            repeat {
                result = readBytes(descriptor, bytes.baseAddress, Self.pieceSize)
                code = result < 0 ? errno : 0
            } while code == EINTR
            count = max(result, 0)
        }
        guard code == 0 else { throw ReadFailure("read", errno: code) }
        buffer.append(contentsOf: piece)
        return !piece.isEmpty
    }
}

/// The bytes of a whole file, or of standard input for `-`.
package func fileBytes(path: String) throws(ReadFailure) -> [UInt8] {
    let file = try InputFile(path: path)
    var bytes: [UInt8] = []
    while try file.read(into: &bytes) {}
    return bytes
}

/// read(2), which a method of the same name hides.
private func readBytes(_ descriptor: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
