import CMnl
import Glibc
import SystemPackage

/// The number of the last transaction of nf_tables in a network namespace.
enum NFTablesGeneration {
    static func ask(_ socket: inout NetlinkSocket) throws(NetlinkError) -> UInt32 {
        let operation = "ask for the generation of nf_tables"
        var request = NetlinkBatch()
        request.append(
            subsystem: NFNL_SUBSYS_NFTABLES, message: Int(NFT_MSG_GETGEN.rawValue), family: UInt8(AF_UNSPEC))
        let answer: NetlinkMessage
        do throws(NetlinkError) {
            answer = try socket.ask(request, operation: operation)
        } catch  where error.errno == .invalidArgument {
            // How nfnetlink answers where nothing has registered for nf_tables (nfnetlink_rcv_msg).
            throw NetlinkError(operation: operation, errno: .notSupported)
        }
        guard let number = answer.netfilterAttributes[Int(NFTA_GEN_ID.rawValue)]?.payload.bigEndian(UInt32.self) else {
            throw NetlinkError(operation: operation, errno: .badMessage)
        }
        return number
    }
}
