public import ProxyCore

/// A table of nf_tables as a layout makes it, or as it was read from text: everything but its elements.
public struct NFTTable: Hashable, Sendable {
    /// By what the kernel knows it.
    public struct Identity: Hashable, Sendable {
        public var family: IPFamily
        public var name: String
        public var comment: String?

        public init(family: IPFamily, name: String, comment: String?) {
            self.family = family
            self.name = name
            self.comment = comment
        }
    }

    public var identity: Identity
    /// In no order that means anything.
    public var chains: [NFTChain]
    public var sets: [NFTSet]

    public init(_ identity: Identity, chains: [NFTChain], sets: [NFTSet]) {
        self.identity = identity
        self.chains = chains
        self.sets = sets
    }
}

public struct NFTChain: Hashable, Sendable {
    /// Where the kernel calls a base chain.
    public struct Hook: Hashable, Sendable {
        public enum Kind: String, Sendable {
            case filter, nat
        }
        public enum Point: String, CaseIterable, Sendable {
            case prerouting, input, forward, output, postrouting
        }

        public var kind: Kind
        public var point: Point
        /// Lower ones come first.
        public var priority: Int32

        public init(_ kind: Kind, _ point: Point, priority: Int32) {
            self.kind = kind
            self.point = point
            self.priority = priority
        }
    }

    public var name: String
    /// Nil for chains that are only jumped to.
    public var hook: Hook?
    public var comment: String?
    public var rules: [NFTRule]

    public init(name: String, hook: Hook? = nil, comment: String? = nil, rules: [NFTRule] = []) {
        self.name = name
        self.hook = hook
        self.comment = comment
        self.rules = rules
    }
}

/// A set, or a map, with a name.
public struct NFTSet: Hashable, Sendable {
    public enum Datum: Hashable, Sendable {
        /// Of a set.
        case none
        /// Of a verdict map.
        case verdict
        /// Of a map to the name of a counter.
        case counter
        /// Of a map.
        case values([NFTType])
    }

    public var name: String
    public var comment: String?
    public var key: [NFTType]
    public var datum: Datum
    /// The fields that `typeof` names where a type has no name of its own; nil where `type` is enough.
    public var typeof: TypeOf?
    /// True if rules add to it (`flags dynamic`).
    public var isDynamic: Bool
    /// True if its elements can end by themselves (`flags timeout`).
    public var hasTimeouts: Bool
    /// How long its elements last where rules do not say: seconds.
    public var timeoutSeconds: Int?
    /// The most elements that rules can add.
    public var size: UInt32?

    /// The fields of `typeof KEY : DATUM`.
    public struct TypeOf: Hashable, Sendable {
        public var key: [NFTField]
        public var datum: [NFTField]

        public init(key: [NFTField], datum: [NFTField]) {
            self.key = key
            self.datum = datum
        }
    }

    public init(
        name: String, comment: String? = nil, key: [NFTType], datum: Datum = .none, typeof: TypeOf? = nil,
        isDynamic: Bool = false, hasTimeouts: Bool = false, timeoutSeconds: Int? = nil, size: UInt32? = nil
    ) {
        self.name = name
        self.comment = comment
        self.key = key
        self.datum = datum
        self.typeof = typeof
        self.isDynamic = isDynamic
        self.hasTimeouts = hasTimeouts
        self.timeoutSeconds = timeoutSeconds
        self.size = size
    }
}

/// An element of a set or map.
public struct NFTElement: Hashable, Sendable {
    public enum Datum: Hashable, Sendable {
        case none
        case verdict(NFTVerdict)
        /// The name of a counter.
        case counter(String)
        case values([NFTValue])
    }

    /// The name of its set.
    public var set: String
    public var key: [NFTValue]
    public var datum: Datum
    public var comment: String?

    public init(set: String, key: [NFTValue], datum: Datum = .none, comment: String? = nil) {
        self.set = set
        self.key = key
        self.datum = datum
        self.comment = comment
    }
}
