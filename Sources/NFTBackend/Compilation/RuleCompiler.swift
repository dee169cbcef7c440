import CNftnl
import ProxyCore

/// A rule as the kernel takes it.
struct CompiledRule {
    var expressions: [NFTExpression] = []
    /// Those that the rule's lookups need and that have no names of their own. Here they are called `__set0`, `__map1`
    /// and so on, by the numbers that the compiler was given.
    var sets: [NFTKernelTable.Set] = []
}

/// Turns statements into expressions, each statement into those that nft 1.0.6 makes of its text, so that nft lists
/// the rule as that text.
struct RuleCompiler {
    let family: IPFamily
    /// How many sets without a name are there already, in the order of `__set` and `__map`.
    private(set) var setCount = 0
    private(set) var mapCount = 0
    private var rule = CompiledRule()
    /// The protocol that the statements so far let pass.
    private var matchedProtocol: TransportProtocol?

    init(_ family: IPFamily) {
        self.family = family
    }

    mutating func compile(_ statements: [NFTStatement]) -> CompiledRule {
        rule = CompiledRule()
        matchedProtocol = nil
        for statement in statements { compile(statement) }
        return rule
    }

    private mutating func compile(_ statement: NFTStatement) {
        switch statement {
        case .matchAddress, .matchAddresses, .matchSet, .matchProtocol, .matchInterface, .matchLocal,
            .matchNewConnection, .matchTranslated, .matchMark:
            compileMatch(statement)
        case .setMark(let bits): changeMark(keeping: ~bits, flipping: bits)
        case .invertMark(let bits): changeMark(keeping: ~0, flipping: bits)
        case .setAddress(let field, let source): setAddress(field, source)
        case .update(let set, let key, let datum, let seconds):
            changeSet(NFT_DYNSET_OP_UPDATE, set, key, datum, seconds)
        case .delete(let set, let key, let datum): changeSet(NFT_DYNSET_OP_DELETE, set, key, datum, nil)
        case .count(let key, let map):
            load(key)
            emit(.objectMap(set: map, source: Register.at(word: 0)))
        case .verdictMap(let key, let map):
            load(key)
            lookUp(map, destination: Register.verdict)
        case .verdictOfRandom(let verdicts):
            load([.random(modulus: UInt32(clamping: verdicts.count))])
            lookUp(addSet(.random(verdicts, name: nameOfMap())), destination: Register.verdict)
        case .verdict(let verdict): emit(.verdict(verdict))
        case .reject:
            // Port unreachable, which is 3 in ICMP and 4 in ICMPv6.
            emit(.reject(type: NFT_REJECT_ICMP_UNREACH.rawValue, code: family == .ipv4 ? 3 : 4))
        case .masquerade(let fullyRandom): emit(.masquerade(flags: fullyRandom ? KernelNumber.fullyRandom : 0))
        case .translate(let address, let port):
            emit(.immediate(KernelValue.address(address, family), register: Register.at(word: 0)))
            emit(.immediate(KernelValue.port(port), register: Register.at(word: 4)))
            translate(portWord: 4)
        case .translateByMap(let key, let map):
            load(key)
            translate(by: map)
        case .translateByRandom(let endpoints):
            load([.random(modulus: UInt32(clamping: endpoints.count))])
            translate(by: addSet(.random(endpoints, family, name: nameOfMap())))
        }
    }

    mutating func emit(_ expression: NFTExpression) {
        rule.expressions.append(expression)
    }

    /// Puts the parts of a key into registers from the first one on. A port of one protocol is asked for behind a
    /// match of that protocol, unless there is one already.
    mutating func load(_ fields: [NFTField]) {
        for case .destinationPortOf(let transport) in fields where matchedProtocol != transport {
            matchProtocol(transport)
        }
        var word = 0
        for field in fields {
            emit(field.load(family, into: Register.at(word: word)))
            word += Register.words(field.length(family))
        }
    }

    mutating func matchProtocol(_ transport: TransportProtocol) {
        emit(.meta(NFT_META_L4PROTO.rawValue, register: Register.at(word: 0)))
        emit(.compare(operation: NFT_CMP_EQ.rawValue, [transport.number], register: Register.at(word: 0)))
        matchedProtocol = transport
    }

    /// Looks up what was loaded.
    mutating func lookUp(_ set: String, destination: UInt32? = nil, isNot: Bool = false) {
        emit(.lookup(set: set, source: Register.at(word: 0), destination: destination, isNot: isNot))
    }

    mutating func nameOfSet() -> String {
        defer { setCount += 1 }
        return "__set\(setCount)"
    }

    private mutating func nameOfMap() -> String {
        defer { mapCount += 1 }
        return "__map\(mapCount)"
    }

    /// Takes a set that has no name of its own with the rule, and returns what it is called.
    mutating func addSet(_ set: NFTKernelTable.Set) -> String {
        rule.sets.append(set)
        return set.name
    }

    private mutating func changeMark(keeping mask: UInt32, flipping bits: UInt32) {
        let register = Register.at(word: 0)
        emit(.meta(NFT_META_MARK.rawValue, register: register))
        emit(
            .bitwise(
                source: register, destination: register, mask: KernelValue.host(mask), xor: KernelValue.host(bits)))
        emit(.storeMeta(NFT_META_MARK.rawValue, register: register))
    }

    private mutating func setAddress(_ field: NFTField, _ source: NFTAddressSource) {
        let register = Register.at(word: 0)
        switch source {
        case .constant(let address): emit(.immediate(KernelValue.address(address, family), register: register))
        case .field(let field): load([field])
        case .map(let key, let map):
            load(key)
            lookUp(map, destination: register)
        }
        guard let payload = field.payload(family) else { return }
        emit(.storePayload(payload, register: register, checksum: NFTExpression.Checksum(ofAddressIn: family)))
    }

    private mutating func changeSet(
        _ operation: nft_dynset_ops, _ set: String, _ key: [NFTField], _ datum: NFTField?, _ seconds: Int?
    ) {
        load(key)
        // What follows the key begins at a wide register.
        let keyWords = key.reduce(0) { $0 + Register.words($1.length(family)) }
        let datumRegister = datum.map { _ in Register.at(word: (keyWords + 3) / 4 * 4) }
        if let datum, let datumRegister { emit(datum.load(family, into: datumRegister)) }
        let timeout = seconds.map { UInt64(clamping: $0).multipliedReportingOverflow(by: 1000).partialValue }
        emit(
            .dynset(
                operation: operation.rawValue, set: set, key: Register.at(word: 0), datum: datumRegister,
                timeout: timeout))
    }

    private mutating func translate(by map: String) {
        lookUp(map, destination: Register.at(word: 0))
        translate(portWord: Register.words(family.bitWidth / 8))
    }

    /// Translates the destination to the address in the first register and the port in another.
    private mutating func translate(portWord: Int) {
        emit(
            .nat(
                type: NFT_NAT_DNAT.rawValue, family: UInt32(family.netfilterNumber), address: Register.at(word: 0),
                port: Register.at(word: portWord), flags: 0))
    }
}

extension IPFamily {
    /// NFPROTO_….
    var netfilterNumber: UInt8 { self == .ipv4 ? 2 : 10 }

    init?(netfilterNumber: UInt8) {
        guard let family = Self.allCases.first(where: { $0.netfilterNumber == netfilterNumber }) else { return nil }
        self = family
    }
}

extension NFTExpression.Checksum {
    /// The header's own, which IPv6 does not have, and that of the transport, which covers the addresses.
    init(ofAddressIn family: IPFamily) {
        let pseudoHeader = UInt32(NFT_PAYLOAD_L4CSUM_PSEUDOHDR.rawValue)
        switch family {
        case .ipv4: self.init(type: NFT_PAYLOAD_CSUM_INET.rawValue, offset: 10, flags: pseudoHeader)
        case .ipv6: self.init(type: NFT_PAYLOAD_CSUM_NONE.rawValue, offset: 0, flags: pseudoHeader)
        }
    }
}
