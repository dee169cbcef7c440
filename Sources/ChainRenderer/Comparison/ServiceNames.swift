/// The service ports that chains and rules belong to, from comments and from the structure of chain names.
///
/// The comment of nearly every rule names its service port, and a service port's chains have their hash in common; an
/// endpoint's chain belongs to the chain whose rule leads there.
struct ServiceNames {
    private var byHash: [Substring: String] = [:]
    private var hashOfEndpoint: [String: Substring] = [:]
    /// The service ports that each side has a rule of.
    private var wantedServices: Set<String> = []
    private var foundServices: Set<String> = []
    private let leftOut: LeftOutChains?

    init(wanted: RuleSet, found: RuleSet, leftOut: LeftOutChains?) {
        self.leftOut = leftOut
        wantedServices = collect(wanted)
        foundServices = collect(found)
    }

    func isWanted(_ service: String) -> Bool {
        wantedServices.contains(service) || leftOut?.wanted.hasService(service) == true
    }

    func isFound(_ service: String) -> Bool {
        foundServices.contains(service) || leftOut?.isFound(service) == true
    }

    private func service(ofHash hash: Substring) -> String? {
        leftOut?.wanted.service(ofHash: hash) ?? byHash[hash]
    }

    private mutating func collect(_ rules: RuleSet) -> Set<String> {
        var services: Set<String> = []
        for table in rules.tables {
            for chain in table.chains where OwnChain.isOurs(chain.name) {
                let hash = OwnChain.servicePart(of: chain.name)
                for rule in chain.rules {
                    let meaning = rule.meaning
                    let service = meaning.comment.flatMap(Self.service)
                    let target = meaning.target?.chain
                    if let service { services.insert(service) }
                    if let service, let owner = hash ?? target.flatMap(OwnChain.servicePart), byHash[owner] == nil {
                        byHash[owner] = service
                    }
                    if let hash, let target, OwnChain.isEndpoint(target), hashOfEndpoint[target] == nil {
                        hashOfEndpoint[target] = hash
                    }
                }
            }
        }
        return services
    }

    func service(of finding: Finding) -> String? {
        guard let chain = finding.chain, OwnChain.isOurs(chain) else { return nil }
        if OwnChain.isEndpoint(chain), let service = leftOut?.wanted.service(ofChain: chain) { return service }
        let owner = OwnChain.servicePart(of: chain) ?? hashOfEndpoint[chain]
        if let owner, let service = service(ofHash: owner) { return service }
        // Several rules of a chain that services share are nobody's alone.
        guard max(finding.wanted.count, finding.found.count) == 1 else { return nil }
        for text in finding.wanted + finding.found {
            let words = text.dropFirst("-A \(chain)".count)
            let meaning = RuleMeaning(Array(words.utf8)[...])
            if let service = meaning.comment.flatMap(Self.service) { return service }
            if let owner = meaning.target?.chain.flatMap(OwnChain.servicePart), let service = service(ofHash: owner) {
                return service
            }
        }
        return nil
    }

    /// The first word of the form `namespace/name` or `namespace/name:port`.
    static func service(_ comment: String) -> String? {
        guard comment.utf8.contains(UInt8(ascii: "/")) else { return nil }
        for word in comment.split(separator: " ") {
            let parts = word.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), word.utf8.allSatisfy(isOfName) else { continue }
            return String(word)
        }
        return nil
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: ":"),
            UInt8(ascii: "/"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
