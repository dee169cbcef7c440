import BatchApplier
import CMnl
import Glibc

/// The connections that the kernel knows in this namespace.
enum ConnectionTable {
    /// Makes the kernel forget all of them.
    static func flush() throws {
        var socket = try NetlinkSocket()
        var batch = NetlinkBatch()
        batch.append(
            subsystem: NFNL_SUBSYS_CTNETLINK, message: Int(IPCTNL_MSG_CT_DELETE.rawValue), family: UInt8(AF_UNSPEC))
        for failure in try socket.perform(batch, operation: "forget all connections") { throw failure }
    }
}
