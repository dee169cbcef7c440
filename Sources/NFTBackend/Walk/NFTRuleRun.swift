import CNftnl
import ProxyCore

/// One packet in one rule: expression by expression, as the kernel evaluates them (nf_tables_core.c).
struct NFTRuleRun {
    /// How a rule leaves a packet.
    enum End: Hashable {
        /// The rule was carried out and gives no verdict.
        case done
        /// An expression did not match. What those before it did remains.
        case noMatch
        /// The same, as it was not known whether it matches: why.
        case undecided(String)
        case verdict(NFTVerdict)
        /// The destination was translated, which ends the nat chains of the hook.
        case translated
        /// The source was.
        case sourceTranslated
        case reject
    }

    private(set) var traveller: NFTTraveller
    private(set) var end: End?
    /// The comments of the elements that were found.
    private(set) var comments: [String] = []
    /// The counter that it counts in.
    private(set) var counter: String?
    private var registers = NFTRegisters()
    private var next = 0

    private init(_ traveller: NFTTraveller) {
        self.traveller = traveller
    }

    /// What a rule has to be looked at with.
    struct Surroundings {
        let table: NFTWalkTable
        let local: LocalAddresses
        let isNAT: Bool
        /// The most parts that chance may split the packet into.
        let parts: Int
    }

    /// Takes a packet through a rule. There are as many results as chance has split the packet into.
    static func runs(
        of expressions: [NFTExpression], on traveller: NFTTraveller, in surroundings: Surroundings
    ) -> [NFTRuleRun] {
        var finished: [NFTRuleRun] = []
        var waiting = [NFTRuleRun(traveller)]
        while var run = waiting.popLast() {
            while run.end == nil, run.next < expressions.count {
                let expression = expressions[run.next]
                run.next += 1
                guard case .numgen(_, let modulus, let offset, let register) = expression else {
                    run.carryOut(expression, in: surroundings)
                    continue
                }
                guard modulus > 0, Int(clamping: modulus) <= surroundings.parts - finished.count - waiting.count else {
                    run.end = .undecided("chance would part the packet too often")
                    continue
                }
                // The first is taken next, so they are finished in their order.
                for value in (1..<max(modulus, 1)).reversed() {
                    waiting.append(run.drawing(value, of: modulus, offset, register))
                }
                run = run.drawing(0, of: modulus, offset, register)
            }
            if run.end == nil { run.end = .done }
            finished.append(run)
        }
        return finished
    }

    private func drawing(_ value: UInt32, of modulus: UInt32, _ offset: UInt32, _ register: UInt32) -> NFTRuleRun {
        var run = self
        run.traveller.share /= Double(modulus)
        run.load((offset &+ value).hostBytes, register)
        return run
    }

    // MARK: Expressions

    private mutating func carryOut(_ expression: NFTExpression, in surroundings: Surroundings) {
        switch expression {
        case .payload(let payload, let register):
            load(traveller.bytes(payload), register) { "what stands in the packet at \(payload.place) is not known" }
        case .storePayload(let payload, let register, _):
            guard let bytes = registers.read(register, Int(clamping: payload.length)),
                traveller.store(bytes, payload)
            else { return stop("writing the packet at \(payload.place) is not followed") }
        case .meta(let key, let register): loadMeta(key, register)
        case .storeMeta(let key, let register): storeMeta(key, register)
        case .ct(let key, let direction, let register):
            load(connection(key, direction), register) { "what connection tracking says (key \(key)) is not known" }
        case .fib(let result, let flags, let register):
            load(route(result, flags, surroundings.local), register) { "the routes of the node are not known" }
        case .numgen: break  // It splits the packet, so it is not for one run to carry out.
        case .immediate(let bytes, let register): load(bytes, register)
        case .verdict(let verdict): end = .verdict(verdict)
        case .compare(let operation, let bytes, let register): compare(operation, bytes, register)
        case .bitwise(let source, let destination, let mask, let xor): change(source, destination, mask, xor)
        case .byteorder(let source, let destination, _, let length, let size):
            swap(source, destination, Int(clamping: length), Int(clamping: size))
        case .lookup(let set, let source, let destination, let isNot):
            lookUp(set, source, destination, isNot, surroundings.table)
        case .dynset(let operation, let set, let key, let datum, _):
            update(set, operation, key, datum, surroundings.table)
        case .objectMap(let set, let source):
            // Counting is nothing to a packet, but a key that the map has not ends the rule.
            guard let found = element(of: set, source, surroundings.table) else { return }
            guard let datum = found.element else { return end = .noMatch }
            if case .counter(let name) = datum { counter = name }
        case .nat(let type, _, let address, let port, let flags):
            translate(type, address, port, flags, isNAT: surroundings.isNAT)
        case .masquerade:
            guard surroundings.isNAT else { return stop("masquerade outside of a nat chain is not followed") }
            traveller.seenAs = .masqueraded
            end = .sourceTranslated
        case .reject: end = .reject
        case .other("counter"), .other("log"): break
        case .other(let name): stop("the expression \(name) is not understood")
        }
    }

    private mutating func stop(_ reason: String) { end = .undecided(reason) }

    private mutating func load(_ bytes: [UInt8]?, _ register: UInt32, else reason: () -> String = { "" }) {
        guard let bytes else { return stop(reason()) }
        if !registers.write(bytes, register) { stop("register \(register) is too small") }
    }

    private mutating func read(_ register: UInt32, _ length: Int) -> [UInt8]? {
        if let bytes = registers.read(register, length) { return bytes }
        stop("register \(register) has no \(length) bytes")
        return nil
    }
}

// MARK: - What is loaded

extension NFTRuleRun {
    private mutating func loadMeta(_ key: UInt32, _ register: UInt32) {
        switch key {
        case NFT_META_MARK.rawValue: load(traveller.mark.hostBytes, register)
        case NFT_META_L4PROTO.rawValue: load([traveller.original.protocol.number], register)
        case NFT_META_NFPROTO.rawValue: load([traveller.original.family.netfilterNumber], register)
        case NFT_META_IIFNAME.rawValue: load(name: traveller.input, register, "comes in by")
        case NFT_META_OIFNAME.rawValue: load(name: traveller.output, register, "leaves by")
        default: stop("what meta key \(key) is for the packet is not known")
        }
    }

    /// 16 bytes, of which there are none in a hook without the interface.
    private mutating func load(name interface: NFTTraveller.Interface, _ register: UInt32, _ way: String) {
        let name: String
        switch interface {
        case .none: name = ""
        case .named(let given): name = given
        case .unknown: return stop("the interface that the packet \(way) is not known")
        }
        let bytes = Array(name.utf8.prefix(15))
        load(bytes + Array(repeating: 0, count: 16 - bytes.count), register)
    }

    private mutating func storeMeta(_ key: UInt32, _ register: UInt32) {
        guard key == NFT_META_MARK.rawValue else { return stop("setting meta key \(key) is not followed") }
        guard let bytes = read(register, 4), let mark = UInt32(hostBytes: bytes) else { return }
        traveller.mark = mark
    }

    /// Nil if the first packet does not tell.
    private func connection(_ key: UInt32, _ direction: UInt8?) -> [UInt8]? {
        let original = traveller.original
        switch key {
        case NFT_CT_STATE.rawValue: return KernelNumber.newConnection.hostBytes
        case NFT_CT_STATUS.rawValue:
            // The bits stand for changes: a translation to the same address and port is none.
            let isMoved =
                traveller.isTranslated
                && (traveller.headerDestination != original.destination || traveller.port != original.port)
            let bits =
                (isMoved ? KernelNumber.destinationTranslated : 0)
                | (traveller.seenAs == .unchanged ? 0 : KernelNumber.sourceTranslated)
            return bits.hostBytes
        case NFT_CT_DIRECTION.rawValue: return [0]
        case NFT_CT_MARK.rawValue: return UInt32(0).hostBytes
        case _ where direction != 0: return nil
        case NFT_CT_SRC.rawValue: return original.source.networkBytes
        case NFT_CT_DST.rawValue: return original.destination.networkBytes
        case NFT_CT_SRC_IP.rawValue where original.family == .ipv4,
            NFT_CT_SRC_IP6.rawValue where original.family == .ipv6:
            return original.source.networkBytes
        case NFT_CT_DST_IP.rawValue where original.family == .ipv4,
            NFT_CT_DST_IP6.rawValue where original.family == .ipv6:
            return original.destination.networkBytes
        case NFT_CT_PROTOCOL.rawValue: return [original.protocol.number]
        case NFT_CT_PROTO_DST.rawValue: return original.port.networkBytes
        default: return nil
        }
    }

    /// The type of an address as a routing table with ordinary routes has it.
    private func route(_ result: UInt32, _ flags: UInt32, _ local: LocalAddresses) -> [UInt8]? {
        guard result == NFT_FIB_RESULT_ADDRTYPE.rawValue else { return nil }
        let address: IPAddress
        switch flags & ~NFTA_FIB_F_MARK.rawValue {
        case NFTA_FIB_F_SADDR.rawValue: address = traveller.headerSource
        case NFTA_FIB_F_DADDR.rawValue: address = traveller.headerDestination
        default: return nil
        }
        return Self.type(of: address, local).hostBytes
    }

    private static func type(of address: IPAddress, _ local: LocalAddresses) -> UInt32 {
        if local.contains(address) { return KernelNumber.local }
        if address.family == .ipv6 { return address.high >> 56 == 0xff ? KernelNumber.multicast : KernelNumber.unicast }
        switch address.ipv4Bits >> 24 {
        case 0: return KernelNumber.broadcast
        case 224...239: return KernelNumber.multicast
        default: return address.ipv4Bits == .max ? KernelNumber.broadcast : KernelNumber.unicast
        }
    }
}

// MARK: - Registers

extension NFTRuleRun {
    private mutating func compare(_ operation: UInt32, _ bytes: [UInt8], _ register: UInt32) {
        guard let value = read(register, bytes.count) else { return }
        let isLess = value.lexicographicallyPrecedes(bytes)
        let holds: Bool
        switch operation {
        case NFT_CMP_EQ.rawValue: holds = value == bytes
        case NFT_CMP_NEQ.rawValue: holds = value != bytes
        case NFT_CMP_LT.rawValue: holds = isLess
        case NFT_CMP_LTE.rawValue: holds = isLess || value == bytes
        case NFT_CMP_GT.rawValue: holds = !isLess && value != bytes
        case NFT_CMP_GTE.rawValue: holds = !isLess
        default: return stop("comparison \(operation) is not understood")
        }
        if !holds { end = .noMatch }
    }

    private mutating func change(_ source: UInt32, _ destination: UInt32, _ mask: [UInt8], _ xor: [UInt8]) {
        guard mask.count == xor.count else { return stop("a bitwise expression has operands of different lengths") }
        guard let value = read(source, mask.count) else { return }
        load(value.indices.map { value[$0] & mask[$0] ^ xor[$0] }, destination)
    }

    /// From the order of the network to that of the machine, or back, which is the same.
    private mutating func swap(_ source: UInt32, _ destination: UInt32, _ length: Int, _ size: Int) {
        guard [2, 4, 8].contains(size), length % size == 0 else {
            return stop("a byteorder expression is not understood")
        }
        guard var value = read(source, length) else { return }
        if UInt16(1).bigEndian != 1 {
            for start in stride(from: 0, to: length, by: size) { value[start..<start + size].reverse() }
        }
        load(value, destination)
    }

    private mutating func translate(
        _ type: UInt32, _ address: UInt32?, _ port: UInt32?, _ flags: UInt32, isNAT: Bool
    ) {
        guard isNAT else { return stop("a translation outside of a nat chain is not followed") }
        guard flags & KernelNumber.netmap == 0 else { return stop("a translation of whole networks is not followed") }
        var target: IPAddress?
        if let address {
            guard let bytes = read(address, traveller.original.family.bitWidth / 8) else { return }
            target = IPAddress(networkBytes: bytes)
        }
        var targetPort: UInt16?
        if let port {
            guard let bytes = read(port, 2) else { return }
            targetPort = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
        }
        switch type {
        case NFT_NAT_DNAT.rawValue:
            // Connection tracking goes by the tuple that it took, not by what rules have written into the header.
            let original = traveller.original
            traveller.destination = (target ?? original.destination).networkBytes
            traveller.port = targetPort ?? original.port
            traveller.isTranslated = true
            end = .translated
        case NFT_NAT_SNAT.rawValue:
            if let target {
                traveller.source = target.networkBytes
                traveller.seenAs = .translated(target)
            }
            end = .sourceTranslated
        default: stop("a translation of type \(type) is not understood")
        }
    }
}

// MARK: - Sets

extension NFTRuleRun {
    /// Nil if the run has ended: the set or the register is not there. The element is nil where there is none.
    private mutating func element(
        of name: String, _ source: UInt32, _ table: NFTWalkTable
    ) -> (element: NFTKernelTable.Element.Datum?, comment: String?)? {
        guard let set = table.set(name) else {
            stop("there is no set \(name)")
            return nil
        }
        guard let key = read(source, set.keyLength) else { return nil }
        switch traveller.changes[.init(set: name, key: key)] {
        case .added(let datum): return (datum, nil)
        case .deleted: return (nil, nil)
        case nil:
            let found = set.element(key)
            return (found?.datum, found?.comment)
        }
    }

    private mutating func lookUp(
        _ name: String, _ source: UInt32, _ destination: UInt32?, _ isNot: Bool, _ table: NFTWalkTable
    ) {
        guard let found = element(of: name, source, table) else { return }
        guard let datum = found.element else {
            if !isNot { end = .noMatch }
            return
        }
        guard !isNot else { return end = .noMatch }
        if let comment = found.comment { comments.append(comment) }
        guard let destination else { return }
        switch datum {
        case .verdict(let verdict) where destination == 0: end = .verdict(verdict)
        case .bytes(let bytes) where destination != 0: load(bytes, destination)
        default: stop("an element of \(name) has not what the rule looks for")
        }
    }

    private mutating func update(
        _ name: String, _ operation: UInt32, _ key: UInt32, _ datum: UInt32?, _ table: NFTWalkTable
    ) {
        guard let set = table.set(name) else { return stop("there is no set \(name)") }
        guard let bytes = read(key, set.keyLength) else { return }
        let place = NFTTraveller.Key(set: name, key: bytes)
        let known = set.element(bytes) != nil
        if operation == NFT_DYNSET_OP_DELETE.rawValue {
            traveller.changes[place] = known ? .deleted : nil
            return
        }
        guard operation == NFT_DYNSET_OP_ADD.rawValue || operation == NFT_DYNSET_OP_UPDATE.rawValue else {
            return stop("the change \(operation) of the set \(name) is not understood")
        }
        // An element that is there keeps its datum, and only its time begins anew.
        switch traveller.changes[place] {
        case .added: return
        case nil where known: return
        default: break
        }
        var value = NFTKernelTable.Element.Datum.none
        if let datum {
            guard let bytes = read(datum, set.datumLength) else { return }
            value = .bytes(bytes)
        }
        let added = traveller.changes.reduce(0) { sum, change in
            change.key.set != name ? sum : change.value == .deleted ? sum - 1 : sum + 1
        }
        if let size = set.kernel.size, size > 0, set.kernel.elements.count + added >= Int(clamping: size) {
            end = .noMatch
            return
        }
        traveller.changes[place] = .added(value)
    }
}

extension NFTPayload {
    /// For people.
    fileprivate var place: String { "base \(base), byte \(offset), length \(length)" }
}

extension UInt16 {
    /// In network byte order.
    var networkBytes: [UInt8] { [UInt8(truncatingIfNeeded: self >> 8), UInt8(truncatingIfNeeded: self)] }
}
