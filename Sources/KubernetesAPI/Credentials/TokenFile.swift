import EndpointWatcher

/// A file that holds a token, as the kubelet writes it for a service account.
enum TokenFile {
    /// Why there is no token, as the end of a sentence that begins with the file.
    struct Failure: Error {
        var sentence: String
    }

    static let notAToken = "holds characters that a token cannot have"

    /// The token, without the white space around it.
    static func read(_ path: String) throws(Failure) -> Secret {
        let bytes: [UInt8]
        do throws(ReadFailure) {
            bytes = try fileBytes(path: path)
        } catch {
            throw Failure(sentence: error.sentence)
        }
        let isSpace = { (byte: UInt8) in byte == 32 || (9...13).contains(byte) }
        let token = bytes.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
        guard !token.isEmpty else { throw Failure(sentence: "holds no token") }
        let text = String(decoding: token, as: UTF8.self)
        guard isToken(text) else { throw Failure(sentence: notAToken) }
        return Secret(text)
    }

    /// Whether a header can carry a text as a token: visible ASCII characters only.
    static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (33...126).contains($0) }
    }
}
