import BatchApplier
import Glibc
import ProxyCore

/// Looks after what a batch has committed, before and after a command of the shell, and prints what is lost.
///
///     watch FAMILY BATCH SERVICE-CHAINS COMMAND
///
/// BATCH is a file with the text of an iptables-restore input, and jumps as lines `jump TABLE CHAIN TARGET` before it.
/// SERVICE-CHAINS are names of chains of table nat, with commas between.
func watch(_ words: ArraySlice<String>) async throws {
    let words = Array(words)
    guard words.count == 4, let batch = BatchFile(words[0], path: words[1]).batch else {
        Output.fail("watch needs a family, a batch, chains and a command")
    }
    var expected = NFTablesExpectation(family: batch.family)
    expected.add(batch)
    let chains = Set(words[2].split(separator: ",").map(String.init))
    let watch = NFTablesWatch()
    let before = try await watch.look(for: expected)
    if try await watch.generation() != before.generation { Output.fail("the generation changes by itself") }
    for loss in before.losses(of: expected) { Output.say("before: \(loss)") }
    guard system(words[3]) == 0 else { Output.fail("\(words[3]) failed") }
    if try await watch.generation() == before.generation { Output.say("same generation") }
    let after = try await watch.look(for: expected)
    for loss in after.losses(of: expected) { Output.say("lost: \(loss)") }
    for change in after.changedChains(since: before) { Output.say("changed: \(change)") }
    for table in after.tablesToSearch(since: before) {
        Output.say("to search: \(table.rawValue)")
        guard table == .nat else { continue }
        for chain in try await watch.missingChains(of: chains, in: table, batch.family).sorted() {
            Output.say("missing: \(chain)")
        }
    }
}

/// Prints how long each step of the watch takes, the median of 200 in microseconds.
///
///     watch-times FAMILY BATCH
func watchTimes(_ words: ArraySlice<String>) async throws {
    let words = Array(words)
    guard words.count == 2, let batch = BatchFile(words[0], path: words[1]).batch else {
        Output.fail("watch-times needs a family and a batch")
    }
    var expected = NFTablesExpectation(family: batch.family)
    expected.add(batch)
    let names = Set(BatchFile.declaredChains(batch))
    let watch = NFTablesWatch()
    func time(_ step: String, rounds: Int = 200, _ body: () async throws -> Void) async throws {
        let clock = ContinuousClock()
        var times: [Duration] = []
        for _ in 0..<rounds {
            let start = clock.now
            try await body()
            times.append(clock.now - start)
        }
        Output.say("\(step): \(times.sorted()[rounds / 2] / .microseconds(1)) µs")
    }
    try await time("generation") { _ = try await watch.generation() }
    try await time("look") { _ = try await watch.look(for: expected) }
    try await time("missing chains of \(names.count)", rounds: 5) {
        let missing = try await watch.missingChains(of: names, in: .nat, batch.family)
        if !missing.isEmpty { Output.say("\(missing.count) missing") }
    }
    try await time("expectation", rounds: 5) {
        var expected = NFTablesExpectation(family: batch.family)
        expected.add(batch)
    }
}

/// Prints who first changes chains of ours in IPv4 while a command of the shell runs.
///
///     first-writer MILLISECONDS COMMAND
func firstWriter(_ words: ArraySlice<String>) async throws {
    let words = Array(words)
    guard words.count == 2, let time = Int(words[0]) else { Output.fail("first-writer needs a time and a command") }
    async let writer = NFTablesWriter.first(toChange: .ipv4, within: .milliseconds(time))
    // Until the subscription stands.
    try await Task.sleep(for: .milliseconds(500))
    guard system(words[1]) == 0 else { Output.fail("\(words[1]) failed") }
    Output.say(try await writer.map { "\($0.command) \($0.pid)" } ?? "nobody")
}
