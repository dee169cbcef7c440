import ArgumentParser
import BatchApplier
import ProxyCore

/// What is asked of the kernel that rules are committed to.
struct CommitOptions: ParsableArguments {
    @Option(help: "The families that are served: ipv4, ipv6 or both.")
    var family = FamilyChoice.both

    @Option(help: "The iptables variant, legacy or nft; without it the node's own is found out.")
    var variant: IPTablesVariant?

    @Flag(
        inversion: .prefixedNo,
        help: "Counts packets in the kernel's accounting objects (default: where the kernel has them).")
    var nfacct: Bool?

    func useless(in mode: ProxyMode) -> [UselessOption] {
        [.variant(variant, in: mode), .nfacct(nfacct, in: mode)].compactMap(\.self)
    }
}
