import CMnl
import Glibc
package import ProxyCore
import SystemPackage

/// A process that committed a transaction to nf_tables.
package struct NFTablesWriter: Hashable, Sendable {
    /// The generation that the transaction made.
    package var generation: UInt32
    package var pid: Int32
    /// The name of its program, cut to 15 bytes (`TASK_COMM_LEN`).
    package var command: String

    /// The first one to commit a transaction that changes chains of ours, or jumps to them, in this network namespace
    /// within a time; nil where nobody did.
    ///
    /// The kernel names the process in the notification that ends a transaction and nowhere else
    /// (`NFTA_GEN_PROC_PID`, `NFTA_GEN_PROC_NAME` of `NFT_MSG_NEWGEN`). There is no subscribing to those alone: while
    /// this waits, the kernel makes a notification of every rule and element that anybody writes, and writers are
    /// slower for it. So it is for the time in which it is known that somebody undoes what we do.
    ///
    /// The process is often gone when it is named: an iptables program that a daemon has started. Its number is that of
    /// the host, whatever PID namespace we are in.
    ///
    /// - Parameter ignored: transactions that do not count, such as our own.
    package static func first(
        toChange family: IPFamily, within duration: Duration,
        except ignored: @escaping @Sendable (NFTablesWriter) -> Bool = { _ in false }
    ) async throws(NetlinkError) -> NFTablesWriter? {
        let listener = Listener(family: family, duration: duration, ignored: ignored)
        return try await listener.first()
    }

    init?(_ message: NetlinkMessage) {
        guard Int32(message.type >> 8) == NFNL_SUBSYS_NFTABLES,
            UInt32(message.netfilterType) == NFT_MSG_NEWGEN.rawValue
        else { return nil }
        let attributes = message.netfilterAttributes
        guard let generation = attributes[Int(NFTA_GEN_ID.rawValue)]?.payload.bigEndian(UInt32.self),
            let pid = attributes[Int(NFTA_GEN_PROC_PID.rawValue)]?.payload.bigEndian(Int32.self),
            let name = attributes[Int(NFTA_GEN_PROC_NAME.rawValue)]?.payload.string
        else { return nil }
        self.generation = generation
        self.pid = pid
        command = name
    }
}

private actor Listener {
    private let executor = BlockingExecutor(label: "switchyard.nftables-writer")
    private let family: IPFamily
    private let duration: Duration
    private let ignored: @Sendable (NFTablesWriter) -> Bool
    /// True if the transaction whose notifications are being read has changed something of ours.
    private var concernsUs = false
    private var found: NFTablesWriter?

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(family: IPFamily, duration: Duration, ignored: @escaping @Sendable (NFTablesWriter) -> Bool) {
        self.family = family
        self.duration = duration
        self.ignored = ignored
    }

    func first() throws(NetlinkError) -> NFTablesWriter? {
        let operation = "listen to the transactions of nf_tables"
        // Short waits, so that the end is met and a cancelled task stops.
        var socket = try NetlinkSocket(
            options: .init(receiveBuffer: 8 << 20, timeout: min(duration, .milliseconds(100))))
        try socket.join(group: Int32(NFNLGRP_NFTABLES.rawValue), operation: operation)
        let clock = ContinuousClock()
        let end = clock.now + duration
        while found == nil, clock.now < end, !Task.isCancelled {
            do throws(NetlinkError) {
                try socket.listen(operation: operation) { received($0) }
            } catch  where error.isTimeout || error.lostReplies {
                // Where the end of a transaction was lost, the next one must not be taken for it.
                if error.lostReplies { concernsUs = false }
            }
        }
        return found
    }

    private func received(_ message: NetlinkMessage) {
        if message.changesOurs(family) { concernsUs = true }
        guard let writer = NFTablesWriter(message) else { return }
        if concernsUs, found == nil, !ignored(writer) { found = writer }
        concernsUs = false
    }
}

extension NetlinkMessage {
    /// True for the notification of a change to a table of ours, to a chain that is named as ours are, or to a jump to
    /// one.
    fileprivate func changesOurs(_ family: IPFamily) -> Bool {
        guard Int32(type >> 8) == NFNL_SUBSYS_NFTABLES,
            netfilterFamily == UInt8(family == .ipv4 ? AF_INET : AF_INET6)
        else { return false }
        let attributes = netfilterAttributes
        // The first attribute of tables, chains, rules, sets and elements is the table's name.
        guard let table = attributes[Int(NFTA_TABLE_NAME.rawValue)]?.payload.string else { return false }
        if NFTablesNames.all.contains(table) { return true }
        guard IPTablesBatch.TableName(rawValue: table) != nil else { return false }
        let type = nf_tables_msg_types(UInt32(netfilterType))
        switch type {
        case NFT_MSG_DELTABLE: return true
        case NFT_MSG_DELCHAIN, NFT_MSG_NEWCHAIN:
            return attributes[Int(NFTA_CHAIN_NAME.rawValue)]?.payload.string.hasPrefix("KUBE-") == true
        case NFT_MSG_DELRULE, NFT_MSG_NEWRULE:
            let chain = attributes[Int(NFTA_RULE_CHAIN.rawValue)]?.payload.string
            return chain?.hasPrefix("KUBE-") == true || attributes.jumpTarget?.hasPrefix("KUBE-") == true
        default: return false
        }
    }
}
