import Foundation
import ProxyCore

/// Standard output and standard error, without buffers: what was written is out when a command ends.
enum Console {
    static func write(_ bytes: [UInt8]) {
        write(bytes, to: STDOUT_FILENO)
    }

    static func write(_ text: String) {
        write(Array(text.utf8), to: STDOUT_FILENO)
    }

    /// A line on standard error, as it is.
    static func writeError(_ line: String) {
        write(Array((line + "\n").utf8), to: STDERR_FILENO)
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) {
        bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let written = Foundation.write(
                    descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                // A reader that has gone away wants no more.
                guard written > 0 || errno == EINTR else { return }
                rest = rest.dropFirst(max(written, 0))
            }
        }
    }
}

// MARK: - Sentences on standard error

extension Console {
    /// What was done.
    static func say(_ sentence: String) { writeError("switchyard: \(sentence)") }

    static func error(_ sentence: String) { say("error: \(sentence)") }
    static func warning(_ sentence: String) { say("warning: \(sentence)") }
    static func note(_ sentence: String) { say("note: \(sentence)") }

    static func report(_ diagnostics: [Diagnostic]) {
        for diagnostic in diagnostics { say("\(diagnostic)") }
    }
}

extension InputError {
    /// One sentence on why the input, or what was asked, is refused. Thrown out of a command it ends it with status 2.
    ///
    /// - Parameter location: the file, and the line in it where that is known.
    init(_ sentence: String, at location: String = "") {
        self.init([Diagnostic(.error, at: location, sentence)])
    }
}
