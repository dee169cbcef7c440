import BatchApplier
import Foundation
import ProxyCore
import SyncLoop

/// What serves on this node in another mode than the one that a command looks at: packets meet it too.
enum OtherModes {
    /// Warns of the tables of nftables mode, ours or a kube-proxy's, and of virtual servers of services, where the mode
    /// has none. Loads no module of the kernel; what cannot be looked for is passed over.
    ///
    /// - Parameters:
    ///   - excluded: ranges in which every virtual server is another program's (`excludeCIDRs`).
    ///   - done: what is not done with them.
    static func warn(besides mode: ProxyMode, _ families: [IPFamily], excluding excluded: [CIDR], _ done: String) async
    {
        if mode != .nftables {
            for table in await tables(families) {
                Console.warning(
                    "this node has the table \(table) of nf_tables, which is not \(done); see --mode nftables")
            }
        }
        if mode != .ipvs, await hasServers(families, excluded) {
            Console.warning("this node has virtual servers of services, which are not \(done); see --mode ipvs")
        }
    }

    /// The names of those that one of the families has.
    private static func tables(_ families: [IPFamily]) async -> [String] {
        guard hasNFTables else { return [] }
        var found: Set<String> = []
        for family in families {
            for table in await NFTablesRemains.remove(family, isDryRun: true) where table.failure == nil {
                found.insert(table.table)
            }
        }
        return found.sorted()
    }

    private static func hasServers(_ families: [IPFamily], _ excluded: [CIDR]) async -> Bool {
        for family in families {
            let remains = try? await IPVSCleaner(excluding: excluded).find(family)
            if remains?.servers.isEmpty == false { return true }
        }
        return false
    }

    /// False where to ask for tables could have the kernel load a module.
    private static var hasNFTables: Bool {
        let files = FileManager.default
        // A kernel without the second file has no modules at all. One that has nf_tables built in lacks the first.
        if files.fileExists(atPath: "/sys/module/nf_tables") || !files.fileExists(atPath: "/proc/modules") {
            return true
        }
        let builtIn = files.contents(atPath: "/lib/modules/\(NodeFacts.kernelRelease())/modules.builtin") ?? Data()
        return String(decoding: builtIn, as: UTF8.self).contains("/nf_tables.ko")
    }
}
