import BatchApplier
import CMnl

/// Lists the chains of table `ip nat` of nf_tables.
///
///     chains [SEQUENCE]
func listChains(_ words: ArraySlice<String>) throws {
    let first = words.first.flatMap { UInt32($0) } ?? 1
    var socket = try NetlinkSocket(sequence: NetlinkSequence(startingAt: first))
    var request = NetlinkBatch()
    request.append(subsystem: NFNL_SUBSYS_NFTABLES, message: Int(NFT_MSG_GETCHAIN.rawValue), family: 2) {
        $0.put(Int(NFTA_CHAIN_TABLE.rawValue), string: "nat")
    }
    var names: [String] = []
    try socket.dump(request, operation: "list chains") { message in
        let attributes = message.netfilterAttributes
        guard attributes[Int(NFTA_CHAIN_TABLE.rawValue)]?.payload.string == "nat" else { return }
        names.append(attributes[Int(NFTA_CHAIN_NAME.rawValue)]?.payload.string ?? "?")
    }
    names.sorted().forEach(Output.say)
}
