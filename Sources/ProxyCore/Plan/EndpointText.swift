/// An endpoint's `ip:port` as text, kept in place: what endpoints are ordered by.
///
/// 48 bytes hold the longest, `[…]:65535` around 39 characters of address. Words compare like the text's bytes.
struct EndpointText: Comparable {
    private var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)

    init(_ address: IPAddress, port: UInt16) {
        withUnsafeMutableBytes(of: &words) { buffer in
            var writer = AddressWriter(buffer)
            writer.write(address, port: port)
        }
        words = (
            words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian, words.4.bigEndian,
            words.5.bigEndian
        )
    }

    static func == (left: Self, right: Self) -> Bool { left.words == right.words }

    static func < (left: Self, right: Self) -> Bool { left.words < right.words }
}
