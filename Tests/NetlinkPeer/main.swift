// Calls of the netlink sockets: it runs inside network namespaces and prints what came of them.

import BatchApplier
import Glibc

var words = CommandLine.arguments.dropFirst()
do {
    switch words.popFirst() {
    case "chains": try listChains(words)
    case "conntrack-clean": try await cleanConntrack(words)
    case "conntrack-fill": try fillConntrack(words)
    case "perform": try perform(words)
    case "watch": try await watch(words)
    case "watch-times": try await watchTimes(words)
    case "first-writer": try await firstWriter(words)
    case "apply": try await apply(words)
    default:
        Output.fail("say apply, chains, conntrack-clean, conntrack-fill, first-writer, perform, watch or watch-times")
    }
} catch {
    Output.fail("\(error)")
}
