import BenchSupport
import CMnl
import Glibc

/// The plainest question that netlink answers: a number of generic netlink, by `send` and `recv`.
struct RoundTrip: ~Copyable {
    private let descriptor: Int32
    private let request: [UInt8]
    private var buffer = [UInt8](repeating: 0, count: 1 << 14)

    init() throws {
        descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), NETLINK_GENERIC)
        guard descriptor >= 0 else { throw Failure("socket: errno \(errno)") }
        // nlattr, and the name of the family, "IPVS", with its end.
        let name = Array(IPVS_GENL_NAME.utf8) + [0]
        let attribute = nlattr(nla_len: UInt16(4 + name.count), nla_type: UInt16(CTRL_ATTR_FAMILY_NAME))
        // genlmsghdr: the command and the version.
        var body = [UInt8(CTRL_CMD_GETFAMILY), 1, 0, 0] + withUnsafeBytes(of: attribute) { Array($0) } + name
        while body.count % 4 != 0 { body.append(0) }
        let header = nlmsghdr(
            nlmsg_len: UInt32(16 + body.count), nlmsg_type: UInt16(GENL_ID_CTRL), nlmsg_flags: UInt16(NLM_F_REQUEST),
            nlmsg_seq: 0, nlmsg_pid: 0)
        request = withUnsafeBytes(of: header) { Array($0) } + body
    }

    deinit { close(descriptor) }

    /// Returns the milliseconds of one.
    mutating func run() throws -> Double {
        let start = ContinuousClock.now
        // A netlink socket without a destination sends to the kernel.
        let sent = send(descriptor, request, request.count, 0)
        let received = recv(descriptor, &buffer, buffer.count, 0)
        let time = ContinuousClock.now - start
        // An error has nlmsgerr after nlmsghdr, 36 bytes with the header that it repeats.
        guard sent == request.count, received > 36 else { throw Failure("netlink does not answer: errno \(errno)") }
        return time.inMilliseconds
    }
}
