/// What became of a packet, and by which rules.
public struct RuleWalkResult: Sendable {
    /// A rule that took effect on its way, or the policy of a built-in chain that dropped it.
    public struct Step: Hashable, Sendable {
        /// The built-in chain that the walk came by; in nf_tables the base chain.
        public let hook: String
        public let table: String
        public let chain: String
        /// How many jumps lie between the hook's chain and this one.
        public let depth: Int
        /// As it is written, from behind the chain's name on; nil for a policy.
        public let rule: String?
        /// The packets and bytes that it has counted; nil if the text has no counters.
        public let packets: UInt64?
        public let bytes: UInt64?
        /// Of all packets like this one, those that the rule took, from 0 to 1.
        public let share: Double
        /// `namespace/name:port` if the rule's comment names one, or that of the rule that led here.
        public let service: String?
        /// True for a rule in a chain of kube-proxy's.
        public let isOurs: Bool
        /// What its match found in a set, as ipset(8) spells it; nil where it looks nothing up, or where that is not known.
        public let entry: String?

        public init(
            hook: String, table: String, chain: String, depth: Int, rule: String?, packets: UInt64?, bytes: UInt64?,
            share: Double, service: String?, isOurs: Bool, entry: String? = nil
        ) {
            self.hook = hook
            self.table = table
            self.chain = chain
            self.depth = depth
            self.rule = rule
            self.packets = packets
            self.bytes = bytes
            self.share = share
            self.service = service
            self.isOurs = isOurs
            self.entry = entry
        }
    }

    /// One end of the way, and the step that decided it.
    public struct Ending: Hashable, Sendable {
        public let branch: PacketFate.Branch
        /// The rule that translated, refused or accepted; nil if none did.
        public let step: Step?

        public init(branch: PacketFate.Branch, step: Step?) {
            self.branch = branch
            self.step = step
        }
    }

    public let fate: PacketFate
    public let endings: [Ending]
    /// In the order in which the kernel comes to them.
    public let steps: [Step]
    /// What could not be told and what was assumed instead, as sentences.
    public let notes: [String]

    public init(fate: PacketFate, endings: [Ending], steps: [Step], notes: [String]) {
        self.fate = fate
        self.endings = endings
        self.steps = steps
        self.notes = notes
    }
}
