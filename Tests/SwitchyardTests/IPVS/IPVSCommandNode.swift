import GoldenSupport
import TestSupport

/// A namespace with the addresses of the golden clusters' node, for commands in user-mode Linux.
struct IPVSCommandNode {
    let namespace: Namespace

    init() throws {
        namespace = try Namespace()
        let commands = ["link set lo up", "addr add 192.168.0.2/32 dev lo", "addr add 2001:db8::2/128 dev lo"]
        try namespace.require(["ip", "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
    }

    func apply(_ cluster: String, mode: String) throws -> Command.Result {
        let golden = GoldenCase.named(cluster)
        return try namespace.run(
            [BuiltProducts.switchyard, "apply", "--mode", mode, "--variant", "legacy", "-f", golden.cluster]
                + ["--config", golden.configuration])
    }

    func cleanup(_ arguments: [String]) throws -> Command.Result {
        try namespace.run([BuiltProducts.switchyard, "cleanup"] + arguments)
    }
}
