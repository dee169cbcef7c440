public import ProxyCore
import Synchronization
import SystemPackage

/// What a commit did.
public struct IPTablesReport: Hashable, Sendable {
    public var variant: IPTablesVariant
    /// The jumps that were missing and were put in.
    public var insertedJumps: [IPTablesJump]
    /// The jumps that a foreign rule kept packets from, and that were moved to the front.
    public var movedJumps: [IPTablesJump]
    /// The jumps that were there more than once.
    public var reducedJumps: [IPTablesJump]
    /// The stale chains that were removed.
    public var removedChains: [String]
    /// How often it was tried until no other program came between.
    public var attempts: Int
    /// How long the restore program ran, all attempts together.
    public var restoreDuration = Duration.zero
    /// What did not work and does not keep traffic from being served as asked, as full sentences.
    public var warnings: [String]
}

/// Commits batches to the iptables tables of one family, with one restore process a commit.
///
/// A restore program commits table by table, and a table either as a whole or not at all. Where a later table is
/// refused, the earlier ones are put back as they were (`docs/decisions/0002-put-back-instead-of-test.md` says why
/// nothing is tried with `--test` before). A failure whose aftermath is `halfDone` is the only one that leaves
/// anything changed.
///
/// Legacy tables: the lock of the iptables programs is held from the reading to the end. nft tables: another program
/// may come between; iptables-nft-restore itself repeats a transaction that the kernel rejects for that reason, and
/// where it still fails and the tables have changed since they were read, they are read again and it is repeated.
public struct IPTablesApplier: Sendable {
    public let tools: IPTablesTools
    public var access: NodeAccess
    /// How long the lock is waited for.
    public var lockTimeout: Duration
    /// How often a commit is tried when other programs come between.
    public var attemptLimit = 3

    public init(tools: IPTablesTools, access: NodeAccess = NodeAccess(), lockTimeout: Duration = .seconds(5)) {
        self.tools = tools
        self.access = access
        self.lockTimeout = lockTimeout
    }

    /// Commits a batch of the tools' family.
    ///
    /// Jumps are looked after in the tables that the batch has text for: put in, reduced to one, or moved before a
    /// foreign rule that keeps every packet from them. A chain that a missing one leads to is made where neither the
    /// batch nor the kernel has it. A batch of one table without jumps and
    /// prefixes is committed without reading anything; in the legacy variant that resets the counters of the built-in
    /// chains, as every use of the iptables programs does.
    ///
    /// Cancelling the caller's task does not interrupt a commit.
    public func apply(_ batch: IPTablesBatch) async throws(IPTablesError) -> IPTablesReport {
        precondition(batch.family == tools.family, "a batch is committed to its own family")
        let variant = tools.variant
        let work = Work(
            operation: "commit the tables \(batch.tables.map(\.name).list)", tables: Self.tablesToRead(for: batch)
        ) { before in
            let input = IPTablesInput(batch, before: before, variant: variant)
            return (input, input)
        }
        return try await perform(work) { input, effort, lock in
            await finish(batch, input, effort, lock)
        }
    }

    /// The input that `apply` would commit now.
    public func dryRun(_ batch: IPTablesBatch) async throws(IPTablesError) -> [UInt8] {
        let before = try await read(Self.tablesToRead(for: batch))
        return IPTablesInput(batch, before: before, variant: tools.variant).text.bytes
    }

    /// Reads tables, counters included.
    ///
    /// A table that the kernel does not have yet is read as its built-in chains without rules.
    public func read(_ tables: [IPTablesBatch.TableName]) async throws(IPTablesError) -> IPTablesState {
        IPTablesState(parsing: try await saveOnce(tables))
    }

    /// What the save program prints of tables, counters included, for those who take rules apart themselves.
    public func save(_ tables: [IPTablesBatch.TableName]) async throws(IPTablesError) -> [UInt8] {
        try await patiently { () async throws(IPTablesError) in try await saveOnce(tables) }
    }

    /// The same, taken in piece by piece as it comes: a large table is never in memory as a whole.
    ///
    /// - Parameters:
    ///   - start: what the pieces are taken into, also where reading has to be begun again.
    ///   - take: takes the next piece in, which is cut anywhere.
    public func save<Value: Sendable>(
        _ tables: [IPTablesBatch.TableName], into start: Value,
        _ take: @escaping @Sendable (inout Value, [UInt8]) -> Void
    ) async throws(IPTablesError) -> Value {
        try await patiently { () async throws(IPTablesError) in
            let value = Taken(start)
            for table in tables {
                let result = await access.run(tools.save, ["-c", "-t", table.rawValue]) { piece in
                    value.current.withLock { take(&$0, piece) }
                }
                guard result.succeeded else {
                    throw IPTablesError(result, operation: "read table \(table.rawValue)", tools: tools)
                }
            }
            return value.current.withLock { $0 }
        }
    }

    private final class Taken<Value: Sendable>: Sendable {
        let current: Mutex<Value>

        init(_ start: Value) { current = Mutex(start) }
    }

    /// True where no service is reachable by rules of ours: table nat has no KUBE-SERVICES with rules in it. A table
    /// that cannot be read is not bare.
    public func isBare() async -> Bool {
        // Counters stand before each rule.
        guard let text = try? await saveOnce([.nat]) else { return false }
        let rule = Array("] -A KUBE-SERVICES ".utf8)
        return !text.split(separator: UInt8(ascii: "\n")).contains { line in
            guard let end = line.firstIndex(of: UInt8(ascii: "]")) else { return false }
            return line[end...].starts(with: rule)
        }
    }

    /// The mode whose rules take the packets to services: iptables or ipvs; nil where neither's do.
    func servingMode() async throws(IPTablesError) -> ProxyMode? {
        guard await tablesInUse().contains(.nat) else { return nil }
        return try await readPatiently([.nat]).servingMode
    }

    private func saveOnce(_ tables: [IPTablesBatch.TableName]) async throws(IPTablesError) -> [UInt8] {
        var text: [UInt8] = []
        for table in tables {
            let result = await access.run(tools.save, ["-c", "-t", table.rawValue])
            guard result.succeeded else {
                throw IPTablesError(result, operation: "read table \(table.rawValue)", tools: tools)
            }
            // A large table is not copied.
            if text.isEmpty { text = result.standardOutput } else { text += result.standardOutput }
        }
        return text
    }

    /// The tables whose state decides what is committed or what is put back.
    static func tablesToRead(for batch: IPTablesBatch) -> [IPTablesBatch.TableName] {
        batch.tables.enumerated().compactMap { index, table in
            let isEarlier = index < batch.tables.count - 1
            let hasJumps = batch.jumps.contains { $0.table == table.name }
            return isEarlier || hasJumps || !batch.ownedChainPrefixes.isEmpty ? table.name : nil
        }
    }
}

extension IPTablesApplier {
    /// True where the applier holds the lock of the iptables programs instead of the restore program.
    ///
    /// The nft programs take no lock, and old legacy ones know no other lock file than that which they take.
    private var holdsProgramsLock: Bool { tools.variant == .legacy && tools.version.respectsLockFileVariable }

    private var programsLockPath: String { access.environmentValue("XTABLES_LOCKFILE") ?? "/run/xtables.lock" }

    /// The file that is locked: that of the programs, or one of our own beside it. Ours keeps two of us apart, so that
    /// both cannot put in the same missing jump, and so that a commit begun by a process that was killed since does not
    /// come after a later one. Each family has its own, as neither is to wait for the other.
    private var lockPath: String {
        guard !holdsProgramsLock else { return programsLockPath }
        let directory = programsLockPath.lastIndex(of: "/").map { programsLockPath[..<$0] } ?? "."
        return directory + "/switchyard-\(tools.family.iptablesName)-\(tools.variant.rawValue).lock"
    }

    /// What is committed, before it is known what the tables hold.
    struct Work<Value: Sendable>: Sendable {
        var operation: String
        /// The tables that are read.
        var tables: [IPTablesBatch.TableName]
        /// From what was read to the input and to what the caller wants to know of it. An input without text is not
        /// committed.
        var plan: @Sendable (IPTablesState) -> (input: IPTablesInput, value: Value)
    }

    /// What a commit has cost.
    struct Effort: Sendable {
        var attempts = 0
        /// How long the restore program ran.
        var restoreDuration = Duration.zero
    }

    /// Reads, plans and commits with the lock held; `finish` is called with what that has cost and with the lock before
    /// that is let go.
    func perform<Value: Sendable, Result: Sendable>(
        _ work: Work<Value>, finish: @Sendable @escaping (Value, Effort, FileDescriptor?) async -> Result
    ) async throws(IPTablesError) -> Result {
        let outcome = await Task { () async -> Swift.Result<Result, IPTablesError> in
            do throws(IPTablesError) {
                return try await holdingLock(for: work.operation) { lock in
                    do throws(IPTablesError) {
                        let (value, effort) = try await commit(work, lock)
                        return .success(await finish(value, effort, lock))
                    } catch {
                        return .failure(error)
                    }
                }
            } catch {
                return .failure(error)
            }
        }.value
        return try outcome.get()
    }

    private func holdingLock<Value: Sendable>(
        for operation: String, _ body: (FileDescriptor?) async -> Value
    ) async throws(IPTablesError) -> Value {
        func error(_ kind: IPTablesError.Kind, _ output: String = "") -> IPTablesError {
            IPTablesError(
                kind: kind, operation: operation, family: tools.family, variant: tools.variant, output: output)
        }
        do throws(XTablesLock.Failure) {
            return try await XTablesLock(path: lockPath, timeout: lockTimeout, family: tools.family).holding(body)
        } catch let failure {
            switch failure {
            case .held(let holder): throw error(.lockHeld(holder))
            case .cannotOpen where !holdsProgramsLock: return await body(nil)
            case .cannotOpen(let code):
                throw error(.notStarted, "cannot open the lock file \(lockPath) (errno \(code))")
            }
        }
    }

    /// Returns what the plan said, and what it has cost.
    private func commit<Value: Sendable>(
        _ work: Work<Value>, _ lock: FileDescriptor?
    ) async throws(IPTablesError) -> (Value, Effort) {
        var effort = Effort()
        while true {
            effort.attempts += 1
            let before = try await readPatiently(work.tables)
            let (input, value) = work.plan(before)
            if input.text.isEmpty { return (value, effort) }
            let start = ContinuousClock.now
            let result = await restore(input.text, lock)
            effort.restoreDuration += .now - start
            if result.succeeded { return (value, effort) }
            var error = IPTablesError(result, operation: work.operation, tools: tools, input: input.text.bytes)
            error.attempts = effort.attempts
            if error.kind == .lockHeld(nil) { error.kind = .lockHeld(LockHolder.find(ofFileAt: programsLockPath)) }
            error.aftermath = await putBack(input, before: before, lock)
            if case .halfDone = error.aftermath { throw error }
            guard error.kind == .refused, effort.attempts < attemptLimit, await hasChanged(since: before) else {
                throw error
            }
            try? await Task.sleep(for: .milliseconds(20 << effort.attempts))
        }
    }

    /// Feeds an input to the restore program.
    ///
    /// The legacy program takes `--wait`; the nft one accepts it and waits for nothing.
    ///
    /// The lock is its standard output, on which it prints nothing: so it holds the lock for as long as it lives, and
    /// what it was fed before this process was killed is not committed after what the next one commits.
    private func restore(_ input: InputText, _ lock: FileDescriptor?) async -> ProcessResult {
        let seconds = max(1, Int(lockTimeout / .seconds(1)))
        return await access.run(
            tools.restore, ["-w", "\(seconds)", "--noflush", "--counters"], input: input,
            environment: holdsProgramsLock ? ["XTABLES_LOCKFILE": XTablesLock.ownFileOfEachProcess] : [:],
            standardOutput: lock)
    }

    /// Reads tables, again if it fails: iptables-nft-save gives up when a chain goes while it lists the rules.
    func readPatiently(_ tables: [IPTablesBatch.TableName]) async throws(IPTablesError) -> IPTablesState {
        try await patiently { () async throws(IPTablesError) in try await read(tables) }
    }

    private func patiently<Value>(
        _ read: () async throws(IPTablesError) -> Value
    ) async throws(IPTablesError) -> Value {
        var attempt = 0
        while true {
            attempt += 1
            do throws(IPTablesError) {
                return try await read()
            } catch {
                guard tools.variant == .nft, error.kind == .refused, attempt < attemptLimit else { throw error }
                try? await Task.sleep(for: .milliseconds(20 << attempt))
            }
        }
    }

    /// True where another program has changed the tables since they were read, so that trying again may succeed.
    private func hasChanged(since before: IPTablesState) async -> Bool {
        guard tools.variant == .nft,
            let now = try? await readPatiently(
                before.tables.compactMap { IPTablesBatch.TableName(rawValue: $0.name) })
        else { return false }
        return !before.tables.allSatisfy { table in now[table.name]?.hasSameRules(as: table) == true }
    }

    /// Puts the tables before the refused one back, where they have been committed.
    private func putBack(
        _ input: IPTablesInput, before: IPTablesState, _ lock: FileDescriptor?
    ) async -> IPTablesError.Aftermath {
        let earlier = input.changes.dropLast().map(\.name)
        guard !earlier.isEmpty else { return .unchanged }
        do throws(IPTablesError) {
            let now = try await readPatiently(earlier)
            let undo = IPTablesPutBack(of: input, before: before, now: now, variant: tools.variant)
            guard !undo.tables.isEmpty else { return .unchanged }
            let result = await restore(InputText(undo.bytes), lock)
            guard result.succeeded else {
                throw IPTablesError(
                    result, operation: "put back the tables \(undo.tables.list)", tools: tools, input: undo.bytes)
            }
            return .putBack(undo.tables)
        } catch {
            return .halfDone(earlier, reason: "\(error)")
        }
    }

    private func finish(
        _ batch: IPTablesBatch, _ input: IPTablesInput, _ effort: Effort, _ lock: FileDescriptor?
    ) async -> IPTablesReport {
        var warnings = input.warnings
        if !holdsProgramsLock { warnings += await removeExtraJumps(input.insertedJumps, lock) }
        warnings += await access.set(batch.sysctls)
        return IPTablesReport(
            variant: tools.variant, insertedJumps: input.missingJumps, movedJumps: input.movedJumps,
            reducedJumps: input.reducedJumps, removedChains: input.removedChains, attempts: effort.attempts,
            restoreDuration: effort.restoreDuration, warnings: warnings)
    }

    /// Takes out again what another program, such as a kube-proxy that is still alive, has put in too between our
    /// reading and our commit. Returns warnings.
    private func removeExtraJumps(_ inserted: [IPTablesJump], _ lock: FileDescriptor?) async -> [String] {
        let tables = IPTablesBatch.TableName.allCases.filter { name in inserted.contains { $0.table == name } }
        var last = ""
        for _ in 0..<attemptLimit {
            do throws(IPTablesError) {
                let now = try await readPatiently(tables)
                let extra = inserted.filter { (now[$0.table.rawValue]?[$0.chain]?.count(of: $0) ?? 0) > 1 }
                if extra.isEmpty { return [] }
                var input: [UInt8] = []
                for table in tables {
                    input += "*\(table.rawValue)\n".utf8
                    for jump in extra where jump.table == table { input += jump.line("-D") }
                    input += "COMMIT\n".utf8
                }
                let result = await restore(InputText(input), lock)
                if !result.succeeded { last = result.errorText.trimmed }
            } catch {
                last = "\(error)"
            }
        }
        return ["A jump that another program has put in too could not be removed: \(last)."]
    }
}

extension NodeAccess {
    /// Sets kernel settings where they differ. Returns a warning for each that fails.
    func set(_ sysctls: [IPTablesBatch.Sysctl]) async -> [String] {
        var warnings: [String] = []
        for sysctl in sysctls {
            if let warning = await set(sysctl) { warnings.append(warning) }
        }
        return warnings
    }

    private func set(_ sysctl: IPTablesBatch.Sysctl) async -> String? {
        let path = "/proc/sys/" + sysctl.path
        if let present = await readFile(path), present.trimmed == sysctl.value { return nil }
        return await writeFile(path, sysctl.value).map {
            "The kernel setting \(sysctl.path) could not be set to \(sysctl.value): \($0)."
        }
    }
}
