import BatchApplier
import CMnl

/// Asks in one datagram for chains of table `ip nat`, every second one of which does not exist, and prints the
/// requests that failed.
///
///     perform COUNT EXISTING-CHAIN [RECEIVE-BUFFER]
func perform(_ words: ArraySlice<String>) throws {
    let words = Array(words)
    guard words.count >= 2, let count = Int(words[0]) else { Output.fail("perform needs a count and a chain") }
    let buffer = words.count > 2 ? Int(words[2]) : nil
    var socket = try NetlinkSocket(options: .init(receiveBuffer: buffer, sendBuffer: 8 << 20))
    var batch = NetlinkBatch()
    for index in 0..<count {
        batch.append(subsystem: NFNL_SUBSYS_NFTABLES, message: Int(NFT_MSG_GETCHAIN.rawValue), family: 2) {
            $0.put(Int(NFTA_CHAIN_TABLE.rawValue), string: "nat")
            $0.put(Int(NFTA_CHAIN_NAME.rawValue), string: index % 2 == 0 ? words[1] : "missing-\(index)")
        }
    }
    for round in 1...2 {
        do {
            for failure in try socket.perform(batch, operation: "look for chains") {
                Output.say("\(round) \(failure.index ?? -1) \(failure.isNotFound ? "not found" : "\(failure)")")
            }
        } catch {
            Output.say("\(round) \(error.lostReplies ? "lost" : "\(error)")")
        }
        batch = NetlinkBatch()
        batch.append(subsystem: NFNL_SUBSYS_NFTABLES, message: Int(NFT_MSG_GETCHAIN.rawValue), family: 2) {
            $0.put(Int(NFTA_CHAIN_TABLE.rawValue), string: "gone")
            $0.put(Int(NFTA_CHAIN_NAME.rawValue), string: "gone")
        }
    }
}
