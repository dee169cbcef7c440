public import ProxyCore

extension RuleSet {
    /// The rules that a full batch leaves in an empty kernel: its tables, and its jumps put first in their chains.
    public init(_ batch: IPTablesBatch) throws(RuleSetError) {
        let end = Array("COMMIT\n".utf8)
        var text: [UInt8] = []
        for table in batch.tables {
            text += table.text.dropLast(end.count)
            for jump in batch.jumps where jump.table == table.name {
                text += Array("-I \(jump.chain) \(jump.matches) -j \(jump.target)\n".utf8)
            }
            text += end
        }
        try self.init(parsing: text, family: batch.family)
    }
}

extension RuleSet {
    /// No table at all: every packet passes.
    public static func empty(_ family: IPFamily) -> RuleSet { RuleSet(family: family) }
}
