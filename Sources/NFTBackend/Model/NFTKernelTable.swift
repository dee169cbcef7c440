/// A table as the kernel has it: rules as expressions, keys and data as bytes.
///
/// What a layout wants is compiled to it, what the kernel has is decoded to it; so the two are compared, and packets
/// are walked through either.
public struct NFTKernelTable: Sendable {
    public var identity: NFTTable.Identity
    public var chains: [Chain]
    /// Those without a name of their own too: the kernel calls them `__set0`, `__map1` and so on.
    public var sets: [Set]
    public var counters: [NFTCounter]

    public init(identity: NFTTable.Identity, chains: [Chain] = [], sets: [Set] = [], counters: [NFTCounter] = []) {
        self.identity = identity
        self.chains = chains
        self.sets = sets
        self.counters = counters
    }

    public struct Chain: Hashable, Sendable {
        public var name: String
        public var hook: NFTChain.Hook?
        public var comment: String?
        public var rules: [Rule]
        /// True for a base chain that drops what none of its rules decides (`policy drop`).
        public var dropsByDefault = false

        public init(name: String, hook: NFTChain.Hook? = nil, comment: String? = nil, rules: [Rule] = []) {
            self.name = name
            self.hook = hook
            self.comment = comment
            self.rules = rules
        }
    }

    public struct Rule: Hashable, Sendable {
        public var expressions: [NFTExpression]
        public var comment: String?

        public init(expressions: [NFTExpression], comment: String? = nil) {
            self.expressions = expressions
            self.comment = comment
        }
    }

    public struct Set: Hashable, Sendable {
        public var name: String
        public var comment: String?
        /// NFT_SET_….
        public var flags: UInt32
        /// nft's numbers of the parts' types, six bits each.
        public var keyType: UInt32
        /// Bytes.
        public var keyLength: UInt32
        /// As `keyType`; NFT_DATA_VERDICT for a verdict map, 0 for a set.
        public var datumType: UInt32
        public var datumLength: UInt32
        /// Milliseconds.
        public var timeout: UInt64?
        public var size: UInt32?
        /// What nft keeps beside the set, apart from the comment.
        public var userData: [UInt8]
        /// NFT_OBJECT_… of a map to objects.
        public var objectType: UInt32?
        public var elements: [Element]

        public init(
            name: String, comment: String? = nil, flags: UInt32, keyType: UInt32, keyLength: UInt32,
            datumType: UInt32 = 0, datumLength: UInt32 = 0, timeout: UInt64? = nil, size: UInt32? = nil,
            userData: [UInt8] = [], objectType: UInt32? = nil, elements: [Element] = []
        ) {
            self.name = name
            self.comment = comment
            self.flags = flags
            self.keyType = keyType
            self.keyLength = keyLength
            self.datumType = datumType
            self.datumLength = datumLength
            self.timeout = timeout
            self.size = size
            self.userData = userData
            self.objectType = objectType
            self.elements = elements
        }
    }

    public struct Element: Hashable, Sendable {
        public enum Datum: Hashable, Sendable {
            case none
            case verdict(NFTVerdict)
            case counter(String)
            case bytes([UInt8])
        }

        /// Each part padded to four bytes.
        public var key: [UInt8]
        public var datum: Datum
        public var comment: String?
        /// NFT_SET_ELEM_….
        public var flags: UInt32

        public init(key: [UInt8], datum: Datum = .none, comment: String? = nil, flags: UInt32 = 0) {
            self.key = key
            self.datum = datum
            self.comment = comment
            self.flags = flags
        }
    }
}
