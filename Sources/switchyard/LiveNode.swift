public import ArgumentParser
public import BatchApplier
import Foundation
import ProxyCore

// What commands that work on the kernel of this node have in common.

extension IPTablesVariant: ExpressibleByArgument {}

extension FamilyChoice {
    /// The families asked for; without IPv6 in the kernel, both means IPv4.
    ///
    /// - Parameter done: what is done with a family, for the note that says so.
    func onThisNode(_ done: String) -> [IPFamily] {
        if self == .both, !FileManager.default.fileExists(atPath: "/proc/net/if_inet6") {
            Console.report("switchyard: note: the kernel has no IPv6; only IPv4 is \(done)")
            return [.ipv4]
        }
        return families
    }
}

extension HostFacts {
    /// What the rules depend on, read from this node.
    init(ofThisNode tools: IPTablesTools) async {
        let node = await NodeFacts.gather(tools: [tools])
        self.init(
            addresses: node.addresses.map(\.address), conntrackIsLiberal: node.conntrackIsLiberal,
            masqueradesRandomly: node.masqueradesRandomly)
    }
}

extension ClusterInput {
    /// Ends the command with status 2 in a mode that is not iptables.
    ///
    /// - Parameter done: what would be done with the rules.
    func requireIPTables(_ done: String) throws {
        guard mode != .iptables else { return }
        Console.report("switchyard: error: mode \(mode.rawValue): only iptables can be \(done); give --mode iptables")
        throw ExitStatus.badInput
    }
}
