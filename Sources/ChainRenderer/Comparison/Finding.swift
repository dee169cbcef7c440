/// One difference between the rules that are wanted and those that were found.
public struct Finding: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        /// Wanted and not there.
        case missing
        /// There and not wanted, in a chain of ours or as a jump to one.
        case foreign
        /// There in another form.
        case changed
        /// There at a place where some packet fares otherwise.
        case moved
    }

    public var kind: Kind
    /// The service port, `namespace/name:port`, where the rules name one.
    public var service: String?
    /// Nil where the finding is about more than one.
    public var table: String?
    public var chain: String?
    /// What is the matter where the rules do not say it themselves.
    public var detail: String?
    /// The wanted rules that the finding is about, as iptables takes them. Empty where it is about whole chains.
    public var wanted: [String] = []
    /// The same of those found.
    public var found: [String] = []

    public init(
        kind: Kind, service: String? = nil, table: String? = nil, chain: String? = nil, detail: String? = nil,
        wanted: [String] = [], found: [String] = []
    ) {
        self.kind = kind
        self.service = service
        self.table = table
        self.chain = chain
        self.detail = detail
        self.wanted = wanted
        self.found = found
    }
}

/// Every difference of one family, in the order of tables and chains.
public struct RuleDifferences: Hashable, Sendable {
    public var findings: [Finding]
    /// The number of rules of ours that were wanted.
    public var wantedRuleCount: Int

    public init(findings: [Finding], wantedRuleCount: Int) {
        self.findings = findings
        self.wantedRuleCount = wantedRuleCount
    }

    public var isEmpty: Bool { findings.isEmpty }
}
