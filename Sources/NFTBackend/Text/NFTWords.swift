import ProxyCore

/// The words of a line, taken one by one.
struct NFTWords {
    private let words: [String]
    private var index = 0
    /// That of the table which the line is about.
    var family = IPFamily.ipv4

    /// Commas and semicolons at a word's end are words; what stands between quotation marks is one, without them.
    init(_ line: Substring) throws(NFTTextFault) {
        var words: [String] = []
        var rest = line
        while let first = rest.first(where: { $0 != " " && $0 != "\t" }), first != "#" {
            rest = rest.drop { $0 == " " || $0 == "\t" }
            if first == "\"" {
                rest = rest.dropFirst()
                guard let end = rest.firstIndex(of: "\"") else { throw NFTTextFault("a quotation mark is missing") }
                words.append(String(rest[..<end]))
                rest = rest[rest.index(after: end)...]
                continue
            }
            var word = rest.prefix { $0 != " " && $0 != "\t" }
            rest = rest[word.endIndex...]
            var marks: [String] = []
            while word.count > 1, let last = word.last, last == "," || last == ";" {
                marks.insert(String(last), at: 0)
                word = word.dropLast()
            }
            words.append(String(word))
            words += marks
        }
        self.words = words
    }

    var next: String? { index < words.count ? words[index] : nil }

    var isAtEnd: Bool { index >= words.count }

    /// - Parameter what: what the error calls the missing word.
    mutating func take(_ what: String) throws(NFTTextFault) -> String {
        guard let word = next else { throw NFTTextFault("\(what) is missing") }
        index += 1
        return word
    }

    /// Takes the next word if it is this one.
    mutating func skip(_ word: String) -> Bool {
        guard next == word else { return false }
        index += 1
        return true
    }

    /// Takes words that must come next.
    mutating func expect(_ expected: String...) throws(NFTTextFault) {
        for word in expected where !skip(word) {
            throw NFTTextFault(
                next.map { "\"\($0)\" stands where \"\(word)\" was expected" } ?? "\"\(word)\" is missing")
        }
    }

    /// True if these words come next.
    func continues(_ expected: String...) -> Bool { words[index...].starts(with: expected) }

    /// Takes `{ KEY … ; … }` if it comes next.
    ///
    /// - Parameter read: takes what stands behind a key.
    mutating func block(_ read: (String, inout NFTWords) throws(NFTTextFault) -> Void) throws(NFTTextFault) {
        guard skip("{") else { return }
        while !skip("}") {
            try read(try take("\"}\""), &self)
            _ = skip(";")
        }
    }
}

// MARK: - Values

extension NFTWords {
    mutating func takeFamily() throws(NFTTextFault) -> IPFamily {
        switch try take("the table's family") {
        case "ip": return .ipv4
        case "ip6": return .ipv6
        case let other: throw NFTTextFault("\"\(other)\" is not a family of tables that is understood")
        }
    }

    mutating func number() throws(NFTTextFault) -> UInt32 {
        let word = try take("a number")
        let digits = word.hasPrefix("0x") ? UInt32(word.dropFirst(2), radix: 16) : UInt32(word)
        guard let digits else { throw NFTTextFault("\"\(word)\" is not a number") }
        return digits
    }

    /// `30s`.
    mutating func seconds() throws(NFTTextFault) -> Int {
        let word = try take("a number of seconds")
        guard word.hasSuffix("s"), let seconds = Int(word.dropLast()), seconds >= 0 else {
            throw NFTTextFault("\"\(word)\" is not a number of seconds")
        }
        return seconds
    }

    mutating func address() throws(NFTTextFault) -> IPAddress { try address(try take("an address")) }

    func address(_ word: String) throws(NFTTextFault) -> IPAddress {
        guard let address = IPAddress(word), address.family == family else {
            throw NFTTextFault("\"\(word)\" is not an address of the table's family")
        }
        return address
    }

    /// `10.0.0.0/8`, or an address alone.
    mutating func cidr() throws(NFTTextFault) -> CIDR { try cidr(try take("an address range")) }

    func cidr(_ word: String) throws(NFTTextFault) -> CIDR {
        guard word.contains("/") else { return CIDR(try address(word)) }
        guard let cidr = CIDR(word), cidr.family == family else {
            throw NFTTextFault("\"\(word)\" is not an address range of the table's family")
        }
        return cidr
    }

    mutating func port() throws(NFTTextFault) -> UInt16 {
        let word = try take("a port")
        guard let port = UInt16(word) else { throw NFTTextFault("\"\(word)\" is not a port") }
        return port
    }

    mutating func transport() throws(NFTTextFault) -> TransportProtocol {
        let word = try take("a protocol")
        guard let transport = TransportProtocol(nftName: word) else {
            throw NFTTextFault("\"\(word)\" is not a protocol that is understood")
        }
        return transport
    }

    /// `10.0.0.1:80` or `[fd00::1]:80`.
    mutating func endpoint() throws(NFTTextFault) -> NFTEndpoint {
        let word = try take("an endpoint")
        guard let colon = word.lastIndex(of: ":"), let port = UInt16(word[word.index(after: colon)...]) else {
            throw NFTTextFault("\"\(word)\" is not an address with a port")
        }
        var text = word[..<colon]
        if text.hasPrefix("["), text.hasSuffix("]") { text = text.dropFirst().dropLast() }
        return NFTEndpoint(try address(String(text)), port)
    }

    /// Values of these types, with dots between.
    mutating func values(_ types: [NFTType]) throws(NFTTextFault) -> [NFTValue] {
        var values: [NFTValue] = []
        for type in types {
            if !values.isEmpty { try expect(".") }
            switch type {
            case .address: values.append(.address(try address()))
            case .protocol: values.append(.protocol(try transport()))
            case .port: values.append(.port(try port()))
            case .number: values.append(.number(try number()))
            }
        }
        return values
    }

    mutating func types() throws(NFTTextFault) -> [NFTType] {
        var types: [NFTType] = []
        repeat {
            switch try take("a type") {
            case "ipv4_addr" where family == .ipv4, "ipv6_addr" where family == .ipv6: types.append(.address)
            case "inet_proto": types.append(.protocol)
            case "inet_service": types.append(.port)
            case let other: throw NFTTextFault("\"\(other)\" is not a type that is understood")
            }
        } while skip(".")
        return types
    }

    /// The part of a map's type from the colon on.
    mutating func datumType() throws(NFTTextFault) -> NFTSet.Datum {
        try expect(":")
        if skip("verdict") { return .verdict }
        if skip("counter") { return .counter }
        return .values(try types())
    }

    /// Words with commas between, with or without blanks.
    ///
    /// - Parameter what: what the error calls a missing word.
    mutating func list(of what: String) throws(NFTTextFault) -> [String] {
        var list: [String] = []
        repeat {
            list += try take(what).split(separator: ",").map(String.init)
        } while skip(",")
        return list
    }
}

extension TransportProtocol {
    /// `tcp`, `udp` or `sctp`.
    init?(nftName: String) {
        guard let transport = Self.allCases.first(where: { "\($0.lowercaseName)" == nftName }) else { return nil }
        self = transport
    }
}
