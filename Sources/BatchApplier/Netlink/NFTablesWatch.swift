import CMnl
import Glibc
package import ProxyCore
import SystemPackage

/// Notices what other programs do to tables of iptables in the nft variant, in steps of rising cost.
///
/// 1. `generation()`: if it is the one that our last commit left, nothing in nf_tables has changed.
/// 2. `look(for:)`: what every service depends on. Its cost does not grow with the cluster.
/// 3. `missingChains(of:in:_:)`: whether a service's chain is gone. Its cost grows with the table.
///
/// The kernel's notifications are not subscribed to, as each element of each transaction would be one.
package actor NFTablesWatch {
    private let executor = BlockingExecutor(label: "switchyard.nftables-watch")
    private let timeout: Duration
    private var socket: NetlinkSocket?

    nonisolated package var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameter timeout: how long an answer of the kernel is waited for.
    package init(timeout: Duration = .seconds(2)) {
        self.timeout = timeout
    }

    /// The number of the last transaction in this network namespace, of whatever family and table
    /// (`NFT_MSG_GETGEN`). It wraps round.
    package func generation() throws(NetlinkError) -> UInt32 {
        try withSocket { socket throws(NetlinkError) in try NFTablesGeneration.ask(&socket) }
    }

    /// Looks after what is expected.
    ///
    /// Where transactions come in between, it is looked again; where they do not stop, the snapshot has the generation
    /// with which the last look began, so that the next generation asked for is another one. Throws an error with
    /// `isInterruptedDump` where long built-in chains could not even be listed between two transactions.
    package func look(for expected: NFTablesExpectation) throws(NetlinkError) -> NFTablesSnapshot {
        try withSocket { socket throws(NetlinkError) in
            var snapshot = NFTablesSnapshot(generation: try NFTablesGeneration.ask(&socket))
            for _ in 0..<3 {
                do throws(NetlinkError) {
                    try Self.look(for: expected, &socket, &snapshot)
                } catch  where error.isInterruptedDump {}
                let now = try NFTablesGeneration.ask(&socket)
                if now == snapshot.generation { return snapshot }
                snapshot = NFTablesSnapshot(generation: now)
            }
            try Self.look(for: expected, &socket, &snapshot)
            return snapshot
        }
    }

    /// Those of some names that no chain of a table has.
    ///
    /// All chains of the table are listed, and none of them is kept. A table that is not there has none of them.
    package func missingChains(
        of names: Set<String>, in table: IPTablesBatch.TableName, _ family: IPFamily
    ) throws(NetlinkError) -> Set<String> {
        try withSocket { socket throws(NetlinkError) in
            var attempt = 0
            while true {
                attempt += 1
                var missing = names
                var request = NetlinkBatch()
                request.append(message: NFT_MSG_GETCHAIN, family) {
                    $0.put(NFTA_CHAIN_TABLE, table.rawValue)
                }
                do throws(NetlinkError) {
                    try socket.dump(request, operation: "list the chains of table \(table.rawValue)") { message in
                        let attributes = message.netfilterAttributes
                        // Kernels before 5.15 list the chains of every table.
                        guard attributes[NFTA_CHAIN_TABLE]?.string == table.rawValue,
                            let name = attributes[NFTA_CHAIN_NAME]?.string
                        else { return }
                        missing.remove(name)
                    }
                    return missing
                } catch  where error.isInterruptedDump && attempt < 5 {
                    continue
                } catch  where error.isNotFound {
                    return names
                }
            }
        }
    }

    /// A socket that failed is not used again: what it was asked for may still come.
    private func withSocket<Value>(
        _ body: (inout NetlinkSocket) throws(NetlinkError) -> Value
    ) throws(NetlinkError) -> Value {
        var socket =
            if let kept = self.socket.take() { kept } else { try NetlinkSocket(options: .init(timeout: timeout)) }
        let value = try body(&socket)
        self.socket = consume socket
        return value
    }
}

extension NFTablesWatch {
    private static func look(
        for expected: NFTablesExpectation, _ socket: inout NetlinkSocket, _ snapshot: inout NFTablesSnapshot
    ) throws(NetlinkError) {
        for table in expected.tables {
            snapshot.tables[table] = try ask(
                NFT_MSG_GETTABLE, expected.family, &socket, handle: NFTA_TABLE_HANDLE.rawValue,
                use: NFTA_TABLE_USE.rawValue, operation: "read table \(table.rawValue)"
            ) {
                $0.put(Int(NFTA_TABLE_NAME.rawValue), string: table.rawValue)
            }
        }
        for chain in expected.chains where snapshot.tables[chain.table] != nil {
            snapshot.chains[chain] = try ask(
                NFT_MSG_GETCHAIN, expected.family, &socket, handle: NFTA_CHAIN_HANDLE.rawValue,
                use: NFTA_CHAIN_USE.rawValue, operation: "read chain \(chain.name) of table \(chain.table.rawValue)"
            ) {
                $0.put(NFTA_CHAIN_TABLE, chain.table.rawValue)
                $0.put(NFTA_CHAIN_NAME, chain.name)
            }
        }
        let sources = Set(expected.jumps.map { NFTablesExpectation.Chain(table: $0.table, name: $0.chain) })
        for source in sources where snapshot.tables[source.table] != nil {
            for target in try targets(from: source, expected.family, &socket) {
                snapshot.jumps[.init(table: source.table, chain: source.name, target: target), default: 0] += 1
            }
        }
    }

    /// A table or a chain, or nil where it is not there.
    private static func ask(
        _ message: nf_tables_msg_types, _ family: IPFamily, _ socket: inout NetlinkSocket, handle: UInt32, use: UInt32,
        operation: @autoclosure () -> String, _ attributes: (inout NetlinkWriter) -> Void
    ) throws(NetlinkError) -> NFTablesSnapshot.Object? {
        var request = NetlinkBatch()
        request.append(message: message, family, attributes)
        do throws(NetlinkError) {
            let answer = try socket.ask(request, operation: operation()).netfilterAttributes
            guard let handle = answer[Int(handle)]?.payload.bigEndian(UInt64.self),
                let use = answer[Int(use)]?.payload.bigEndian(UInt32.self)
            else { throw NetlinkError(operation: operation(), errno: .badMessage) }
            return NFTablesSnapshot.Object(handle: handle, use: use)
        } catch  where error.isNotFound {
            return nil
        }
    }

    /// The chains that the rules of a chain lead to.
    private static func targets(
        from chain: NFTablesExpectation.Chain, _ family: IPFamily, _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [String] {
        var request = NetlinkBatch()
        request.append(message: NFT_MSG_GETRULE, family) {
            $0.put(Int(NFTA_RULE_TABLE.rawValue), string: chain.table.rawValue)
            $0.put(Int(NFTA_RULE_CHAIN.rawValue), string: chain.name)
        }
        var targets: [String] = []
        do throws(NetlinkError) {
            try socket.dump(request, operation: "list the rules of \(chain.name) of table \(chain.table.rawValue)") {
                if let target = $0.netfilterAttributes.jumpTarget { targets.append(target) }
            }
        } catch  where error.isNotFound {}
        return targets
    }
}

extension NetlinkBatch {
    fileprivate mutating func append(
        message: nf_tables_msg_types, _ family: IPFamily?, _ attributes: (inout NetlinkWriter) -> Void = { _ in }
    ) {
        let number: UInt8 =
            switch family {
            case .ipv4: UInt8(AF_INET)
            case .ipv6: UInt8(AF_INET6)
            case nil: UInt8(AF_UNSPEC)
            }
        append(subsystem: NFNL_SUBSYS_NFTABLES, message: Int(message.rawValue), family: number, attributes)
    }
}

extension NetlinkWriter {
    fileprivate mutating func put(_ type: nft_chain_attributes, _ string: String) {
        put(Int(type.rawValue), string: string)
    }
}

extension NetlinkAttributes {
    fileprivate subscript(type: nft_chain_attributes) -> ArraySlice<UInt8>? { self[Int(type.rawValue)]?.payload }

    /// Of a rule: the chain that its verdict leads to.
    var jumpTarget: String? {
        guard let expressions = self[Int(NFTA_RULE_EXPRESSIONS.rawValue)]?.nested else { return nil }
        for expression in expressions {
            guard expression.nested[Int(NFTA_EXPR_NAME.rawValue)]?.payload.string == "immediate" else { continue }
            let target = expression.nested[Int(NFTA_EXPR_DATA.rawValue)]?.nested[Int(NFTA_IMMEDIATE_DATA.rawValue)]?
                .nested[Int(NFTA_DATA_VERDICT.rawValue)]?.nested[Int(NFTA_VERDICT_CHAIN.rawValue)]
            if let target { return target.payload.string }
        }
        return nil
    }
}
