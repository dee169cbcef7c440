import ProxyCore

/// Words, numbers, addresses, types and values.
extension NFTTextWriter {
    @inline(__always)
    mutating func write(_ words: StaticString) {
        words.withUTF8Buffer { text.append(contentsOf: $0) }
    }

    mutating func write(_ string: String) {
        text.append(contentsOf: string.utf8)
    }

    mutating func writeList<Element>(
        _ elements: some Sequence<Element>, separator: StaticString, _ body: (inout Self, Element) -> Void
    ) {
        var isFirst = true
        for element in elements {
            if !isFirst { write(separator) }
            isFirst = false
            body(&self, element)
        }
    }

    mutating func write(_ types: [NFTType], family: IPFamily) {
        writeList(types, separator: " . ") {
            switch $1 {
            case .address: $0.write(family == .ipv4 ? "ipv4_addr" : "ipv6_addr")
            case .protocol: $0.write("inet_proto")
            case .port: $0.write("inet_service")
            // A type without a name that nft would take: sets with it say `typeof`.
            case .number: $0.write("integer")
            }
        }
    }

    mutating func write(_ values: [NFTValue]) {
        writeList(values, separator: " . ") {
            switch $1 {
            case .address(let address): $0.write(address)
            case .protocol(let transport): $0.write(transport.lowercaseName)
            case .port(let port): $0.write(decimal: Int(port))
            case .number(let number): $0.write(decimal: Int(number))
            }
        }
    }

    mutating func write(decimal value: Int) {
        if value >= 0, let small = UInt16(exactly: value) {
            writeAddress { $0.write(decimal: small) }
        } else {
            write("\(value)" as String)
        }
    }

    /// Writes a mark as `0x%08x`.
    mutating func write(mark: UInt32) {
        write("0x")
        for shift in stride(from: UInt32(28), through: 0, by: -4) {
            let digit = UInt8(mark >> shift & 15)
            text.append(digit < 10 ? 48 + digit : 87 + digit)
        }
    }

    mutating func write(_ address: IPAddress) {
        writeAddress { $0.write(address) }
    }

    /// Writes `ip:port`, or `[ip]:port` for IPv6.
    mutating func write(_ address: IPAddress, port: UInt16) {
        writeAddress { $0.write(address, port: port) }
    }

    mutating func write(_ cidr: CIDR) {
        write(cidr.base)
        write("/")
        write(decimal: cidr.prefixLength)
    }

    private mutating func writeAddress(_ body: (inout AddressWriter) -> Void) {
        withUnsafeTemporaryAllocation(byteCount: 48, alignment: 8) { buffer in
            var writer = AddressWriter(buffer)
            body(&writer)
            text.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<writer.count]))
        }
    }

    /// Writes ` comment "…"`, as rules and elements have it.
    mutating func writeComment(_ comment: String) {
        write(" comment \"")
        // nft knows no escapes: what would end the text or the line is replaced.
        for byte in comment.utf8 {
            switch byte {
            case UInt8(ascii: "\""): text.append(UInt8(ascii: "'"))
            case 0..<32: text.append(UInt8(ascii: " "))
            default: text.append(byte)
            }
        }
        write("\"")
    }

    /// Writes ` comment "…" ;`, as tables, chains and sets have it.
    mutating func writeCommentProperty(_ comment: String) {
        writeComment(comment)
        write(" ;")
    }

    /// Writes an interface's name: bare, as kube-proxy does, where nft takes it for a name, else in quotes.
    mutating func write(interface name: String) {
        let isWord =
            !Self.keywords.contains(name) && name.utf8.first.map { Self.isLetter($0) } ?? false
            && name.utf8.enumerated().allSatisfy { index, byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: "/"):
                    true
                case UInt8(ascii: "*"): index == name.utf8.count - 1
                default: Self.isLetter(byte)
                }
            }
        if !isWord { write("\"") }
        write(name)
        if !isWord { write("\"") }
    }

    /// Words of nft's language that an interface might be called and that nft 1.0.6 does not take as a name.
    private static let keywords: Set<String> = [
        "ah", "bridge", "chain", "cgroup", "ct", "dccp", "device", "drop", "esp", "fib", "icmp", "iif", "inet", "limit",
        "log", "map", "mark", "meta", "mh", "netdev", "oif", "osf", "queue", "rt", "rt0", "sctp", "set", "socket",
        "table", "tcp", "th", "udp",
    ]

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}
