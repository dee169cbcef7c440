import CMnl
import Glibc
public import ProxyCore
import SystemPackage

/// Commits transactions to a table of nf_tables over netlink, and reads the table back.
///
/// Works in the network namespace of the process. Calls wait on a thread of their own.
public actor NFTablesApplier {
    private let executor = BlockingExecutor(label: "switchyard.nftables-applier")
    private let options: NetlinkSocket.Options
    private let isInOwnNamespace: Bool
    private var socket: NetlinkSocket?

    nonisolated public var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameters:
    ///   - receiveBuffer: bytes. Each message that is refused takes close to 1 KB of it, and a transaction can have
    ///     thousands; nil is enough for them.
    ///   - sendBuffer: bytes. It takes a whole transaction; nil is enough for one of 100,000 services.
    ///   - timeout: how long an answer of the kernel is waited for. A transaction that replaces all rules of 10,000
    ///     services takes it half a second.
    public init(receiveBuffer: Int? = nil, sendBuffer: Int? = nil, timeout: Duration = .seconds(60)) {
        options = .init(receiveBuffer: receiveBuffer ?? 32 << 20, sendBuffer: sendBuffer ?? 64 << 20, timeout: timeout)
        isInOwnNamespace = false
    }

    /// Works in a network namespace that has just been made and that ends with the applier, so that things can be tried
    /// which are to change nothing on the node. Needs CAP_SYS_ADMIN.
    public init(inNewNamespace timeout: Duration) throws(NFTablesError) {
        options = .init(timeout: timeout)
        isInOwnNamespace = true
        do throws(NetlinkError) {
            socket = try NetlinkSocket.inNewNamespace(options: options)
        } catch {
            throw NFTablesError(error)
        }
    }

    /// The number of the last transaction in this network namespace, of whatever family and table
    /// (`NFT_MSG_GETGEN`). It wraps round.
    public func generation() throws(NFTablesError) -> UInt32 {
        try withSocket { socket throws(NetlinkError) in try NFTablesGeneration.ask(&socket) }
    }

    /// Commits a batch as one transaction. Returns the generation that it made.
    ///
    /// - Parameter generation: the transaction is refused with `isOutdated`, and nothing changed, if another one came
    ///   after the one of this number. Without it nothing is asked.
    /// - Throws: nothing was sent where the batch has a `fault`.
    public func commit(_ batch: NFTablesBatch, after generation: UInt32? = nil) throws(NFTablesError) -> UInt32? {
        if let fault = batch.fault { throw NFTablesError(fault: fault) }
        guard !batch.isEmpty else { return generation }
        let failures = try withSocket { socket throws(NetlinkError) in
            // Handed over, as it can be large.
            try socket.commit(NetlinkBatch(batch, after: generation), operation: "commit to table \(batch.table)")
        }
        if let first = failures.first { throw NFTablesError(first, of: batch, alsoRefused: failures.count - 1) }
        // Each transaction has the number after the last one's, and 0 is left out (nf_tables_commit).
        return generation.map { $0 == .max ? 1 : $0 + 1 }
    }

    /// Reads a table; nil where it is not there.
    ///
    /// Where a transaction comes in between, it is read again. A table is not kept from being changed meanwhile, so
    /// what is returned is of the generation that it says.
    ///
    /// - Parameter withElements: false leaves the elements of all sets out: the cost does not grow with the services.
    public func read(
        _ family: IPFamily, table: String, withElements: Bool
    ) throws(NFTablesError) -> NFTablesDump? {
        let found = try read(family, table: table, elementsOf: { _ in withElements }, into: []) { $0.append($1) }
        return found.map { NFTablesDump(generation: $0.generation, messages: $0.value) }
    }

    /// The same for a table that is not to be kept: what the kernel lists is taken in message by message.
    ///
    /// - Parameters:
    ///   - isSetListed: by the name of a set, whether its elements are asked for.
    ///   - start: what is begun with, and begun with again where a transaction comes in between.
    public func read<Value: Sendable>(
        _ family: IPFamily, table: String, elementsOf isSetListed: @escaping @Sendable (String) -> Bool,
        into start: Value,
        _ take: @Sendable (inout Value, NFTablesDump.Message) -> Void
    ) throws(NFTablesError) -> (generation: UInt32, value: Value)? {
        try withSocket { socket throws(NetlinkError) in
            for _ in 0..<Self.readAttempts {
                let before = try NFTablesGeneration.ask(&socket)
                let listing = NFTablesListing(family: family, table: table, isSetListed: isSetListed)
                var value = start
                do throws(NetlinkError) {
                    guard try listing.read(&socket, { take(&value, $0) }) else { return nil }
                } catch  where error.isInterruptedDump || error.isNotFound {
                    // Something went while it was being listed.
                    continue
                }
                if try NFTablesGeneration.ask(&socket) == before { return (before, value) }
            }
            throw NetlinkError(operation: "read table \(table)", errno: .interrupted)
        }
    }

    /// Reads what the counters of a table say, each when its turn comes; none where the table is not there.
    public func readCounters(_ family: IPFamily, table: String) throws(NFTablesError) -> NFTablesDump {
        try withSocket { socket throws(NetlinkError) in
            for _ in 0..<Self.readAttempts {
                let generation = try NFTablesGeneration.ask(&socket)
                let listing = NFTablesListing(family: family, table: table, isSetListed: { _ in false })
                var messages: [NFTablesDump.Message] = []
                do throws(NetlinkError) {
                    try listing.readObjects(&socket) { messages.append($0) }
                    return NFTablesDump(generation: generation, messages: messages)
                } catch  where error.isInterruptedDump {
                    continue
                }
            }
            throw NetlinkError(operation: "read the counters of table \(table)", errno: .interrupted)
        }
    }

    private static let readAttempts = 20

    /// A socket that failed is not used again: what it was asked for may still come.
    private func withSocket<Value>(
        _ body: (inout NetlinkSocket) throws(NetlinkError) -> Value
    ) throws(NFTablesError) -> Value {
        do throws(NetlinkError) {
            var socket = if let kept = self.socket.take() { kept } else { try openAgain() }
            let value = try body(&socket)
            self.socket = consume socket
            return value
        } catch {
            throw NFTablesError(error)
        }
    }

    private func openAgain() throws(NetlinkError) -> NetlinkSocket {
        // Its namespace has gone with the one before, and here would be the node's.
        guard !isInOwnNamespace else {
            throw NetlinkError(operation: "use a closed socket again", errno: .badFileDescriptor)
        }
        return try NetlinkSocket(options: options)
    }
}

extension NetlinkBatch {
    /// The messages of a transaction between those that begin and end it.
    fileprivate init(_ batch: NFTablesBatch, after generation: UInt32?) {
        self.init()
        // nfgenmsg of both: no family, and the subsystem in res_id (linux/netfilter/nfnetlink.h).
        let header = [UInt8(AF_UNSPEC), UInt8(NFNETLINK_V0), 0, UInt8(NFNL_SUBSYS_NFTABLES)]
        append(type: UInt16(NFNL_MSG_BATCH_BEGIN), header: header) {
            if let generation { $0.put(Int(NFNL_BATCH_GENID.rawValue), bigEndian: generation) }
        }
        append(messages: batch.bytes, at: batch.offsets)
        append(type: UInt16(NFNL_MSG_BATCH_END), header: header)
    }
}
