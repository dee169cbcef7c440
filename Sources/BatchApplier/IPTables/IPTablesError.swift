public import ProxyCore

/// A failed attempt to find, read or commit the iptables tables of one family.
public struct IPTablesError: Error, Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// Another program held the lock of the legacy tables for longer than was waited.
        case lockHeld(LockHolder?)
        /// The program or the kernel refused the input, or could not read the tables.
        case refused
        /// No program of this name is installed.
        case binaryMissing(String)
        /// The process took too long and was ended.
        case timedOut
        /// The process, or the lock before it, could not be had at all.
        case notStarted

        /// The case's name: the label of metrics.
        public var name: String {
            switch self {
            case .lockHeld: "lockHeld"
            case .refused: "refused"
            case .binaryMissing: "binaryMissing"
            case .timedOut: "timedOut"
            case .notStarted: "notStarted"
            }
        }
    }

    /// What the failed commit has left behind. After `timedOut` the last table may have been committed all the same.
    public enum Aftermath: Hashable, Sendable {
        /// Every chain of the batch is as it was.
        case unchanged
        /// These tables had been committed before a later one was refused, and were put back as they were.
        case putBack([IPTablesBatch.TableName])
        /// These tables may hold what the batch asked for while later ones do not; the reason is why they could not be
        /// put back.
        case halfDone([IPTablesBatch.TableName], reason: String)
    }

    /// A line of the input, numbered from 1.
    public struct InputLine: Hashable, Sendable {
        public var number: Int
        public var text: String
        /// True for a line that the program named.
        public var isNamed: Bool
    }

    public var kind: Kind
    /// What was attempted, such as `commit the tables filter, nat`.
    public var operation: String
    public var family: IPFamily
    public var variant: IPTablesVariant
    public var exitStatus: Int32?
    /// What the program printed to standard error.
    public var output: String = ""
    /// The lines of the input around the first one that the program named: five before and five after.
    public var inputLines: [InputLine] = []
    public var aftermath: Aftermath = .unchanged
    /// How often it was tried. More than once only where the tables had been changed by another program in between.
    public var attempts: Int = 1
}

extension IPTablesError: CustomStringConvertible {
    public var description: String {
        var text = "Cannot \(operation) (\(family.rawValue), \(variant.rawValue)): \(reason)."
        if attempts > 1 { text += " Tried \(attempts) times, as another program changed the tables in between." }
        switch aftermath {
        case .unchanged: break
        case .putBack(let tables):
            text += " Already committed and put back as before: \(tables.list)."
        case .halfDone(let tables, let reason):
            text += " The node is in a half state: \(tables.list) changed and could not be put back: \(reason)."
        }
        let width = inputLines.last.map { String($0.number).count } ?? 0
        for line in inputLines {
            let number = String(line.number)
            let padding = String(repeating: " ", count: width - number.count)
            text += "\n\(line.isNamed ? ">" : " ") \(padding)\(number) \(line.text)"
        }
        return text
    }

    private var reason: String {
        switch kind {
        case .lockHeld(let holder?):
            return "the lock of the tables is held by process \(holder)"
        case .lockHeld(nil): return "the lock of the tables is held by another program"
        case .binaryMissing(let name): return "no \(name) is installed"
        case .timedOut: return "the program took too long and was ended"
        case .notStarted: return "the program could not be started: \(output.trimmed)"
        case .refused:
            let status = exitStatus.map { "exit status \($0)" } ?? "ended by a signal"
            return "refused with \(status): \(Self.shortened(output))"
        }
    }

    /// The lines that say something, at most ten: iptables-nft-restore names every failing rule.
    private static func shortened(_ output: String) -> String {
        let lines = output.split(separator: "\n").map { String($0).trimmed }
            .filter { !$0.isEmpty && !$0.hasPrefix("Try `") && !$0.hasPrefix("# Warning") }
        let rest = lines.count > 10 ? ["and \(lines.count - 10) lines more"] : []
        return (lines.prefix(10) + rest).joined(separator: "; ")
    }
}

extension [IPTablesBatch.TableName] {
    /// The names, separated by commas.
    var list: String { map(\.rawValue).joined(separator: ", ") }
}

extension IPTablesError {
    /// The error that a process's end stands for.
    init(
        _ result: ProcessResult, operation: String, tools: IPTablesTools, input: [UInt8] = []
    ) {
        let kind: Kind =
            switch result.ending {
            case .timedOut: .timedOut
            case .notStarted: .notStarted
            // Status 4 (RESOURCE_PROBLEM) is the lock in the legacy variant; iptables-nft-restore exits with it
            // whenever the kernel refuses.
            case .exited(4) where tools.variant == .legacy: .lockHeld(nil)
            case .exited, .signalled: .refused
            }
        self.init(
            kind: kind, operation: operation, family: tools.family, variant: tools.variant,
            exitStatus: result.exitStatus, output: result.errorText,
            inputLines: Self.linesAround(Self.namedLines(in: result.errorText), of: input))
    }

    /// The numbers of the input's lines that a restore program named.
    ///
    /// All forms of 1.8.9: `iptables-restore: line 7 failed` (legacy; a rule that the kernel refuses is named by the
    /// line of COMMIT), `line 3 failed: No chain/target/match by that name.` (nft), `Error occurred at line: 3`
    /// (both; the parser), `line 6: RULE_INSERT failed (Too many links): rule in chain INPUT` (nft; the kernel, one
    /// line for each rule), `COMMIT expected at line 3`, `Can't set policy … line 2: Bad policy name`. A target
    /// that nft does not find is named by the line of COMMIT.
    static func namedLines(in output: String) -> [Int] {
        output.matches(of: /line:? ([0-9]+)/).compactMap { Int($0.1) }
    }

    /// The lines from five before the first of `named` to five after it.
    static func linesAround(_ named: [Int], of input: [UInt8]) -> [InputLine] {
        guard let first = named.first, !input.isEmpty else { return [] }
        let wanted = max(1, first - 5)...(first + 5)
        let all = Set(named)
        var lines: [InputLine] = []
        var number = 0
        var start = 0
        while start < input.count, number < wanted.upperBound {
            let end = input[start...].firstIndex(of: UInt8(ascii: "\n")) ?? input.count
            number += 1
            if wanted.contains(number) {
                let text = String(decoding: input[start..<end], as: UTF8.self)
                lines.append(InputLine(number: number, text: text, isNamed: all.contains(number)))
            }
            start = end + 1
        }
        return lines
    }
}
