import CNftnl
import NFTBackend
import ProxyCore
import Testing

/// TCP from 203.0.113.5 to 10.0.0.9:443, forwarded through a table whose rules are written as expressions.
private struct Forwarded {
    static let destination: [UInt8] = [10, 0, 0, 9]
    static let port: [UInt8] = [1, 187]

    var sets: [NFTKernelTable.Set] = []
    /// Beside the one of the hook.
    var chains: [NFTKernelTable.Chain] = []

    func walk(_ rules: [NFTExpression]...) throws -> RuleWalkResult {
        let base = NFTKernelTable.Chain(
            name: "forward", hook: .init(.filter, .forward, priority: 0), rules: rules.map { .init(expressions: $0) })
        let table = NFTKernelTable(
            identity: .init(family: .ipv4, name: "t", comment: nil), chains: [base] + chains, sets: sets)
        let packet = Packet(
            from: IPAddress(ipv4: 0xcb00_7105), to: IPAddress(ipv4: 0x0a00_0009), port: 443, protocol: .tcp)
        return NFTWalk(table, local: LocalAddresses([])).walk(try #require(packet), order: .host)
    }

    /// True if a rule of the expressions takes the packet. Nothing in it may be unknown.
    func isTaken(by expressions: NFTExpression...) throws -> Bool {
        let result = try walk(expressions + [.verdict(.drop)])
        #expect(result.notes == [])
        return result.fate.outcome == "DROP"
    }
}

private let first = NFT_REG_1.rawValue
/// The one that the second word of the first register is.
private let second = NFT_REG32_01.rawValue

private func load(
    _ base: nft_payload_bases, _ offset: UInt32, _ length: UInt32, _ register: UInt32 = first
) -> NFTExpression {
    .payload(NFTPayload(base: base.rawValue, offset: offset, length: length), register: register)
}

private let destination = load(NFT_PAYLOAD_NETWORK_HEADER, 16, 4)
private let port = load(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)

private func compare(_ operation: nft_cmp_ops, _ bytes: [UInt8]) -> NFTExpression {
    .compare(operation: operation.rawValue, bytes, register: first)
}

/// As the machine keeps it.
private func host<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] { withUnsafeBytes(of: number) { Array($0) } }

private func set(_ name: String, keyLength: UInt32, _ elements: NFTKernelTable.Element...) -> NFTKernelTable.Set {
    NFTKernelTable.Set(name: name, flags: 0, keyType: 0, keyLength: keyLength, elements: elements)
}

private func lookup(_ name: String, destination: UInt32? = nil) -> NFTExpression {
    .lookup(set: name, source: first, destination: destination, isNot: false)
}

/// An expression that the walk cannot carry out, and a part of what it says then.
struct UnknownExpression: Sendable, CustomTestStringConvertible {
    var expression: NFTExpression
    var reason: String

    init(_ expression: NFTExpression, _ reason: String) {
        self.expression = expression
        self.reason = reason
    }

    var testDescription: String { reason }

    private static func store(_ offset: UInt32, _ length: UInt32) -> NFTExpression {
        .storePayload(
            NFTPayload(base: NFT_PAYLOAD_NETWORK_HEADER.rawValue, offset: offset, length: length), register: first,
            checksum: .init(type: 0, offset: 0, flags: 0))
    }

    static let all: [UnknownExpression] = [
        .init(.other("quota"), "the expression quota is not understood"),
        .init(load(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2), "base 2, byte 0, length 2 is not known"),
        .init(load(NFT_PAYLOAD_NETWORK_HEADER, .max, .max), "length 4294967295 is not known"),
        .init(load(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, 7), "register 7 is too small"),
        .init(store(18, 4), "byte 18, length 4 is not followed"),
        .init(store(16, .max), "length 4294967295 is not followed"),
        .init(.meta(999, register: first), "meta key 999"),
        .init(.meta(NFT_META_OIFNAME.rawValue, register: first), "the interface that the packet leaves by"),
        .init(.storeMeta(NFT_META_PRIORITY.rawValue, register: first), "setting meta key 2 is not followed"),
        .init(.ct(99, direction: nil, register: first), "(key 99) is not known"),
        .init(.ct(NFT_CT_SRC_IP.rawValue, direction: 1, register: first), "(key 19) is not known"),
        .init(.fib(result: 1, flags: NFTA_FIB_F_DADDR.rawValue, register: first), "the routes"),
        .init(.numgen(type: 1, modulus: 0, offset: 0, register: first), "chance would part"),
        .init(.numgen(type: 1, modulus: .max, offset: .max, register: first), "chance would part"),
        .init(.immediate([UInt8](repeating: 0, count: 65), register: first), "register 1 is too small"),
        .init(.compare(operation: 77, [], register: first), "comparison 77 is not understood"),
        .init(.compare(operation: 0, [UInt8](repeating: 0, count: 65), register: first), "has no 65 bytes"),
        .init(.bitwise(source: first, destination: first, mask: [1], xor: []), "operands of different lengths"),
        .init(.byteorder(source: first, destination: first, operation: 0, length: 3, size: 2), "byteorder"),
        .init(.byteorder(source: first, destination: first, operation: 0, length: .max, size: 0), "byteorder"),
        .init(lookup("missing"), "there is no set missing"),
        .init(lookup("addresses", destination: first), "has not what the rule looks for"),
        .init(.objectMap(set: "missing", source: first), "there is no set missing"),
        .init(.dynset(operation: 9, set: "addresses", key: first, datum: nil, timeout: nil), "the change 9"),
        .init(.nat(type: 1, family: 2, address: nil, port: nil, flags: 0), "translation outside of a nat chain"),
        .init(.masquerade(flags: 0), "masquerade outside of a nat chain"),
    ]
}

@Suite("Registers of a walk")
struct RegisterTests {
    @Test("what is not understood ends its rule, is said, and changes nothing", arguments: UnknownExpression.all)
    func unknown(_ unknown: UnknownExpression) throws {
        var forwarded = Forwarded()
        forwarded.sets = [set("addresses", keyLength: 4, .init(key: [0, 0, 0, 0]))]
        let result = try forwarded.walk(
            [unknown.expression, .verdict(.drop)],
            [destination, compare(NFT_CMP_EQ, Forwarded.destination), .verdict(.accept)])
        #expect(result.fate.outcome == "ACCEPT")
        #expect(result.notes.count == 1)
        #expect(result.notes.first?.hasPrefix("forward: a rule was taken not to match: ") == true)
        #expect(result.notes.first?.contains(unknown.reason) == true, "\(result.notes)")
    }

    @Test("jumps lead through sixteen chains, as in the kernel", arguments: [false, true])
    func depth(_ isGoto: Bool) throws {
        func walk(chains count: Int) throws -> RuleWalkResult {
            let ways: [NFTExpression] = (1..<count).map { .verdict(isGoto ? .goto("c\($0)") : .jump("c\($0)")) }
            var forwarded = Forwarded()
            forwarded.chains = (1..<count).map { number in
                let next = number < ways.count ? ways[number] : .verdict(.drop)
                return .init(name: "c\(number)", rules: [.init(expressions: [next])])
            }
            return try forwarded.walk([ways[0]])
        }
        let deepest = try walk(chains: 16)
        #expect(deepest.fate.outcome == "DROP")
        #expect(deepest.notes == [])
        #expect(deepest.steps.map(\.depth) == Array(0...15))
        let tooDeep = try walk(chains: 17)
        #expect(tooDeep.fate.outcome == "-")
        #expect(tooDeep.notes.count == 1)
        #expect(tooDeep.notes.first?.hasPrefix("c15: the way to c16 leads through too many chains") == true)
    }

    @Test("jumps in a circle are not followed")
    func circle() throws {
        var forwarded = Forwarded()
        forwarded.chains = [
            .init(name: "a", rules: [.init(expressions: [.verdict(.jump("b"))])]),
            .init(name: "b", rules: [.init(expressions: [.verdict(.goto("a"))])]),
        ]
        let result = try forwarded.walk([.verdict(.jump("a"))], [.verdict(.drop)])
        #expect(result.fate.outcome == "DROP")
        #expect(result.notes == ["b: the way to a leads in a circle, which the kernel refuses; it is not followed"])
    }

    // MARK: Keys of sets

    @Test("a lookup takes as many bytes as the set's keys have, whatever was loaded")
    func keyLength() throws {
        var forwarded = Forwarded()
        let both = Forwarded.destination + Forwarded.port + [0, 0]
        forwarded.sets = [
            set("addresses", keyLength: 4, .init(key: Forwarded.destination)),
            set("ports", keyLength: 8, .init(key: both)),
            set("longest", keyLength: 64, .init(key: Forwarded.destination)),
        ]
        let portBehind = load(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, second)
        #expect(try forwarded.isTaken(by: destination, lookup("addresses")))
        #expect(try forwarded.isTaken(by: destination, portBehind, lookup("addresses")))
        #expect(try forwarded.isTaken(by: destination, portBehind, lookup("ports")))
        #expect(try forwarded.isTaken(by: destination, lookup("ports")) == false)
        #expect(try forwarded.isTaken(by: destination, lookup("longest")))
        #expect(try forwarded.isTaken(by: destination, portBehind, lookup("longest")) == false)
    }

    @Test("keys and data that are longer than all registers are not known", arguments: [65, UInt32.max])
    func excessiveLength(_ length: UInt32) throws {
        var forwarded = Forwarded()
        forwarded.sets = [set("long", keyLength: length, .init(key: Forwarded.destination))]
        let found = try forwarded.walk([destination, lookup("long"), .verdict(.drop)])
        #expect(found.fate.outcome == "-")
        #expect(found.notes == ["forward: a rule was taken not to match: register 1 has no \(length) bytes"])
        forwarded.sets[0].keyLength = 4
        forwarded.sets[0].datumLength = length
        let update = NFTExpression.dynset(
            operation: NFT_DYNSET_OP_UPDATE.rawValue, set: "long", key: first, datum: first, timeout: nil)
        let added = try forwarded.walk([port, update, .verdict(.drop)])
        #expect(added.fate.outcome == "-")
        #expect(added.notes == found.notes)
    }

    // MARK: Byte order

    @Test("what is of the packet is compared in network byte order")
    func networkOrder() throws {
        let forwarded = Forwarded()
        #expect(try forwarded.isTaken(by: port, compare(NFT_CMP_EQ, [1, 187])))
        // The first byte tells: 443 is above 255 and 442 and below 512.
        #expect(try forwarded.isTaken(by: port, compare(NFT_CMP_GT, [0, 255])))
        #expect(try forwarded.isTaken(by: port, compare(NFT_CMP_LT, [2, 0])))
        #expect(try forwarded.isTaken(by: port, compare(NFT_CMP_LTE, [0, 255])) == false)
        #expect(try forwarded.isTaken(by: port, compare(NFT_CMP_GTE, [1, 186])))
    }

    @Test("what is the kernel's own is compared in the machine's byte order")
    func hostOrder() throws {
        let forwarded = Forwarded()
        let mark = NFT_META_MARK.rawValue
        let marked: [NFTExpression] = [
            .immediate(host(UInt32(0x4000)), register: first), .storeMeta(mark, register: first),
            .immediate([0, 0, 0, 0], register: first), .meta(mark, register: first),
        ]
        let isMarked = compare(NFT_CMP_EQ, host(UInt32(0x4000)))
        #expect(try forwarded.walk(marked + [isMarked, .verdict(.drop)]).fate.outcome == "DROP")
        #expect(
            try forwarded.isTaken(
                by: .ct(NFT_CT_STATE.rawValue, direction: nil, register: first), compare(NFT_CMP_EQ, host(UInt32(8)))))
        let unicast = compare(NFT_CMP_EQ, host(UInt32(1)))
        let type = NFTExpression.fib(
            result: NFT_FIB_RESULT_ADDRTYPE.rawValue, flags: NFTA_FIB_F_DADDR.rawValue, register: first)
        #expect(try forwarded.isTaken(by: type, unicast))
    }

    @Test("byteorder turns each of its parts round")
    func byteorder() throws {
        let forwarded = Forwarded()
        let operation = NFT_BYTEORDER_NTOH.rawValue
        #expect(
            try forwarded.isTaken(
                by: port, .byteorder(source: first, destination: first, operation: operation, length: 2, size: 2),
                compare(NFT_CMP_EQ, host(UInt16(443)))))
        #expect(
            try forwarded.isTaken(
                by: .immediate([1, 2, 3, 4, 5, 6, 7, 8], register: first),
                .byteorder(source: first, destination: first, operation: operation, length: 8, size: 4),
                compare(NFT_CMP_EQ, host(UInt32(0x0102_0304)) + host(UInt32(0x0506_0708)))))
    }

    @Test("chance draws numbers in the machine's byte order, each as often")
    func chance() throws {
        var forwarded = Forwarded()
        forwarded.sets = [
            set(
                "ways", keyLength: 4, .init(key: host(UInt32(7)), datum: .verdict(.drop)),
                .init(key: host(UInt32(8)), datum: .verdict(.accept)))
        ]
        let draw = NFTExpression.numgen(type: NFT_NG_RANDOM.rawValue, modulus: 4, offset: 6, register: first)
        let fate = try forwarded.walk([draw, lookup("ways", destination: NFT_REG_VERDICT.rawValue)]).fate
        #expect(
            fate.branches == [.init(.untouched, share: 0.5), .init(.accept, share: 0.25), .init(.drop, share: 0.25)])
    }
}
