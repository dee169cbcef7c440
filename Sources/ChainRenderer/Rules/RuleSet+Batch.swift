public import ProxyCore

extension RuleSet {
    /// The rules that a full batch asks for, the jumps as they stand after a commit to tables that have none.
    public init(wanted batch: IPTablesBatch) throws(RuleSetError) {
        try self.init(parsing: batch.text, family: batch.family)
        insert(batch.jumps)
    }

    /// Puts jumps into the tables that are there, as they stand after a commit to tables that have none.
    mutating func insert(_ jumps: [IPTablesJump]) {
        for jump in jumps {
            guard let table = tables.firstIndex(where: { $0.name == jump.table.rawValue }) else { continue }
            let words = jump.matches.isEmpty ? "" : jump.matches + " "
            let rule = Rule(text: Array("\(words)-j \(jump.target)".utf8)[...])
            let place = tables[table].place(of: jump.chain)
            tables[table].modify(place) { $0.rules.insert(rule, at: 0) }
        }
    }

    /// No table at all: every packet passes.
    public static func empty(_ family: IPFamily) -> RuleSet { RuleSet(family: family) }
}
