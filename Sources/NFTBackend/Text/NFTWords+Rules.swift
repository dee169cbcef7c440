import ProxyCore

extension NFTWords {
    /// A rule, to the line's end.
    mutating func rule() throws(NFTTextFault) -> NFTRule {
        var rule = NFTRule([])
        while let word = next {
            if skip("comment") {
                rule.comment = try take("a comment")
            } else if let verdict = try verdictIfAny() {
                rule.statements.append(.verdict(verdict))
            } else if let statement = try match(word) {
                rule.statements.append(statement)
            } else if let statement = try action(word) {
                rule.statements.append(statement)
            } else {
                rule.statements.append(try statementOnFields())
            }
        }
        return rule
    }

    mutating func verdict() throws(NFTTextFault) -> NFTVerdict {
        guard let verdict = try verdictIfAny() else {
            throw NFTTextFault(next.map { "\"\($0)\" is not a verdict that is understood" } ?? "a verdict is missing")
        }
        return verdict
    }

    private mutating func verdictIfAny() throws(NFTTextFault) -> NFTVerdict? {
        if skip("accept") { return .accept }
        if skip("drop") { return .drop }
        if skip("return") { return .return }
        if skip("jump") { return .jump(try take("a chain's name")) }
        if skip("goto") { return .goto(try take("a chain's name")) }
        return nil
    }

    /// A match that is more than a field and what it is compared with.
    private mutating func match(_ word: String) throws(NFTTextFault) -> NFTStatement? {
        switch word {
        case "ct" where continues("ct", "state"):
            try expect("ct", "state", "new")
            return .matchNewConnection
        case "ct" where continues("ct", "status"):
            try expect("ct", "status", "dnat")
            return .matchTranslated
        case "iifname":
            try expect("iifname")
            let isNot = skip("!=")
            return .matchInterface(try take("an interface"), isNot: isNot)
        case "fib":
            let field = try field()
            try expect("local")
            return .matchLocal(field)
        case "mark",
            "meta" where continues("meta", "mark"):
            _ = skip("meta")
            try expect("mark")
            if skip("and") {
                let bits = try number()
                try expect("!=", "0")
                return .matchMark(bits)
            }
            try expect("set")
            _ = skip("meta")
            try expect("mark")
            if skip("or") { return .setMark(try number()) }
            try expect("xor")
            return .invertMark(try number())
        default: return nil
        }
    }

    private mutating func action(_ word: String) throws(NFTTextFault) -> NFTStatement? {
        switch word {
        case "reject":
            try expect("reject")
            return .reject
        case "masquerade":
            try expect("masquerade")
            return .masquerade(fullyRandom: skip("fully-random"))
        case "counter":
            try expect("counter", "name")
            let key = try fields()
            try expect("map")
            return .count(key: key, map: try setName())
        case "update", "delete":
            _ = try take("a statement")
            let set = try setName()
            try expect("{")
            let key = try fields()
            let timeout = skip("timeout") ? try seconds() : nil
            let datum = skip(":") ? try field() : nil
            try expect("}")
            return word == "update"
                ? .update(set: set, key: key, datum: datum, timeoutSeconds: timeout)
                : .delete(set: set, key: key, datum: datum)
        case "dnat": return try translation()
        default: return nil
        }
    }

    private mutating func translation() throws(NFTTextFault) -> NFTStatement {
        try expect("dnat")
        if skip("to") {
            let endpoint = try endpoint()
            return .translate(to: endpoint.address, port: endpoint.port)
        }
        try expect(family == .ipv4 ? "ip" : "ip6", "addr", ".", "port", "to")
        let key = try fields()
        try expect("map")
        guard next == "{" else { return .translateByMap(key, map: try setName()) }
        return .translateByRandom(
            try choices(of: key) { (words) throws(NFTTextFault) in
                let address = try words.address()
                try words.expect(".")
                return NFTEndpoint(address, try words.port())
            })
    }

    /// A statement that begins with what it reads.
    private mutating func statementOnFields() throws(NFTTextFault) -> NFTStatement {
        let key = try fields()
        if skip("vmap") {
            guard next == "{" else { return .verdictMap(key, map: try setName()) }
            return .verdictOfRandom(try choices(of: key) { (words) throws(NFTTextFault) in try words.verdict() })
        }
        if next?.hasPrefix("@") == true { return .matchSet(key, set: try setName()) }
        guard let field = key.first, key.count == 1 else {
            throw NFTTextFault("a concatenation is compared with nothing")
        }
        if field == .transportProtocol { return .matchProtocol(try transport()) }
        guard field.type == .address else {
            throw NFTTextFault(next.map { "\"\($0)\" is not understood" } ?? "the statement ends too early")
        }
        if skip("set") { return .setAddress(field, try addressSource()) }
        let isNot = skip("!=")
        guard skip("{") else { return .matchAddress(field, try cidr(), isNot: isNot) }
        var cidrs: [CIDR] = []
        var addresses: [IPAddress] = []
        for word in try list(of: "an address") {
            if word.contains("/") { cidrs.append(try cidr(word)) } else { addresses.append(try address(word)) }
        }
        try expect("}")
        return .matchAddresses(field, cidrs, and: addresses, isNot: isNot)
    }

    private mutating func addressSource() throws(NFTTextFault) -> NFTAddressSource {
        if let word = next, IPAddress(word) != nil { return .constant(try address()) }
        let key = try fields()
        if skip("map") { return .map(key, map: try setName()) }
        guard let field = key.first, key.count == 1 else { throw NFTTextFault("\"map\" is missing") }
        return .field(field)
    }

    /// `{ 0 : … , 1 : … }` behind a number that is drawn, in the order of the numbers.
    private mutating func choices<Choice>(
        of key: [NFTField], _ read: (inout NFTWords) throws(NFTTextFault) -> Choice
    ) throws(NFTTextFault) -> [Choice] {
        guard key.count == 1, case .random(let modulus, 0) = key[0] else {
            throw NFTTextFault("only a drawn number can choose from a list")
        }
        var choices: [Choice] = []
        try expect("{")
        repeat {
            try expect("\(choices.count)", ":")
            choices.append(try read(&self))
        } while skip(",")
        try expect("}")
        guard choices.count == Int(modulus) else {
            throw NFTTextFault("\(choices.count) choices for numbers below \(modulus)")
        }
        return choices
    }

    private mutating func setName() throws(NFTTextFault) -> String {
        let word = try take("a set's name")
        guard word.hasPrefix("@"), word.count > 1 else {
            throw NFTTextFault("\"\(word)\" stands where a set was expected")
        }
        return String(word.dropFirst())
    }
}

// MARK: - Fields

extension NFTWords {
    /// Fields with dots between.
    mutating func fields() throws(NFTTextFault) -> [NFTField] {
        var fields = [try field()]
        while skip(".") { fields.append(try field()) }
        return fields
    }

    mutating func field() throws(NFTTextFault) -> NFTField {
        let word = try take("a field")
        switch word {
        case "ip" where family == .ipv4, "ip6" where family == .ipv6:
            return try isSource() ? .sourceAddress : .destinationAddress
        case "ct":
            try expect("original", family == .ipv4 ? "ip" : "ip6")
            return try isSource() ? .originalSourceAddress : .originalDestinationAddress
        case "meta":
            try expect("l4proto")
            return .transportProtocol
        case "th":
            try expect("dport")
            return .destinationPort
        case "tcp", "udp", "sctp":
            guard let transport = TransportProtocol(nftName: word) else { throw NFTTextFault.notUnderstood(word) }
            try expect("dport")
            return .destinationPortOf(transport)
        case "iifname": return .inputInterface
        case "numgen":
            try expect("random", "mod")
            let modulus = try number()
            return .random(modulus: modulus, offset: skip("offset") ? try number() : 0)
        case "fib":
            let field: NFTField = try isSource() ? .sourceAddressType : .destinationAddressType
            try expect("type")
            return field
        default: throw NFTTextFault.notUnderstood(word)
        }
    }

    private mutating func isSource() throws(NFTTextFault) -> Bool {
        if skip("saddr") { return true }
        try expect("daddr")
        return false
    }
}

extension NFTField {
    /// What `typeof` makes of it. An interface or a state is in no key of the layouts.
    var type: NFTType {
        switch self {
        case .sourceAddress, .destinationAddress, .originalSourceAddress, .originalDestinationAddress: .address
        case .transportProtocol: .protocol
        case .destinationPort, .destinationPortOf: .port
        case .inputInterface, .random, .sourceAddressType, .destinationAddressType, .connectionState,
            .connectionStatus:
            .number
        }
    }
}
