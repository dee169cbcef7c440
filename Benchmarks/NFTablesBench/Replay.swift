import BenchSupport
import CMnl
import Glibc
import NFTBackend
import ProxyCore

/// The plainest way to give messages to nf_tables: they are sent as they are, and answers are read until the last
/// message's.
///
/// Works in the network namespace of the calling thread.
struct Replay: ~Copyable {
    private let descriptor: Int32
    private let bytes: [UInt8]

    /// - Parameter batch: its messages are put between those that begin and end a transaction.
    init(_ batch: NFTablesBatch) throws {
        var bytes = Self.frame(Int32(NFNL_MSG_BATCH_BEGIN)) + batch.bytes
        if let last = batch.offsets.last {
            // The flags follow the length and the type in nlmsghdr.
            let flags = Self.frameLength + last + 6
            bytes.withUnsafeMutableBytes {
                let present = $0.loadUnaligned(fromByteOffset: flags, as: UInt16.self)
                $0.storeBytes(of: present | UInt16(NLM_F_ACK), toByteOffset: flags, as: UInt16.self)
            }
        }
        self.bytes = bytes + Self.frame(Int32(NFNL_MSG_BATCH_END))
        descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), NETLINK_NETFILTER)
        guard descriptor >= 0 else { throw Failure("socket: errno \(errno)") }
        for option in [SO_SNDBUFFORCE, SO_RCVBUFFORCE] {
            var size = Int32(64 << 20)
            setsockopt(descriptor, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    deinit { close(descriptor) }

    /// Sends the transaction and waits until it is acknowledged.
    borrowing func run() throws {
        // A netlink socket without a destination sends to the kernel.
        guard send(descriptor, bytes, bytes.count, 0) == bytes.count else { throw Failure("send: errno \(errno)") }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        guard recv(descriptor, &buffer, buffer.count, 0) >= 20 else { throw Failure("recv: errno \(errno)") }
        // nlmsgerr begins with the error, after nlmsghdr. The first answer is that of the first message refused, or
        // the acknowledgement of the last.
        let code = buffer.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 16, as: Int32.self) }
        guard code == 0 else { throw Failure("nf_tables refused the messages: errno \(-code)") }
    }

    private static let frameLength = 20

    /// nlmsghdr, and nfgenmsg without a family and with the subsystem.
    private static func frame(_ type: Int32) -> [UInt8] {
        let header = nlmsghdr(
            nlmsg_len: UInt32(frameLength), nlmsg_type: UInt16(type), nlmsg_flags: UInt16(NLM_F_REQUEST), nlmsg_seq: 0,
            nlmsg_pid: 0)
        var bytes = withUnsafeBytes(of: header) { Array($0) }
        bytes += [UInt8(AF_UNSPEC), UInt8(NFNETLINK_V0), 0, UInt8(NFNL_SUBSYS_NFTABLES)]
        return bytes
    }
}

extension Replay {
    /// Removes both layouts' tables, and waits until the kernel is done with what was in them.
    static func emptyKernel() throws {
        var changes: [NFTChange] = []
        for name in NFTablesNames.all { changes += [.addOtherTable(name: name), .deleteTable(name: name)] }
        let table = NFTTable.Identity(family: .ipv4, name: NFTablesNames.sharedMaps, comment: nil)
        try Replay(NFTablesBatch(NFTTransaction(table, changes))).run()
        // It frees them in a thread of its own after all have read on.
        usleep(500_000)
    }
}
