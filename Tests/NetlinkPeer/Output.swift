import Glibc

enum Output {
    /// Writes at once, past stdio's buffer: whoever started us may wait for the line.
    static func say(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = write(1, bytes, bytes.count)
    }

    static func fail(_ sentence: String) -> Never {
        let bytes = Array("netlink-peer: \(sentence)\n".utf8)
        _ = write(2, bytes, bytes.count)
        exit(1)
    }
}
