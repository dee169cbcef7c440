import Glibc

/// The kernel's accounting objects (nfacct), which count the packets that rules with `-m nfacct` match.
public enum Accounting {
    /// A failed request for an accounting object.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public var objectName: String
        public var errno: Int32

        /// True where the kernel has no nfnetlink_acct: nfnetlink answers EINVAL to a subsystem that nobody has
        /// registered, and there may be no nfnetlink at all.
        public var isUnsupported: Bool { [EINVAL, EPROTONOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT].contains(errno) }

        public var description: String {
            isUnsupported
                ? "The kernel has no accounting objects (nfnetlink_acct), so \(objectName) cannot be made."
                : "The accounting object \(objectName) could not be made: \(String(cString: strerror(errno)))."
        }
    }

    /// Makes the objects that do not exist yet, in the network namespace of this process. Those that exist keep their
    /// counts.
    ///
    /// One NFNL_MSG_ACCT_NEW each. NLM_F_EXCL makes the kernel answer EEXIST for one that is there; without it, it
    /// answers EBUSY.
    public static func ensure(_ names: [String]) throws(Failure) {
        guard let first = names.first else { return }
        let netfilter: Int32 = 12  // NETLINK_NETFILTER
        let descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), netfilter)
        guard descriptor >= 0 else { throw Failure(objectName: first, errno: errno) }
        defer { close(descriptor) }
        for (index, name) in names.enumerated() {
            let message = newObjectMessage(name, sequence: UInt32(index + 1))
            let code = exchange(message, on: descriptor)
            guard code == 0 || code == EEXIST else { throw Failure(objectName: name, errno: code) }
        }
    }

    /// An nlmsghdr (16 bytes), an nfgenmsg (4) and the attribute NFACCT_NAME, all in the machine's byte order.
    static func newObjectMessage(_ name: String, sequence: UInt32) -> [UInt8] {
        let value = Array(name.utf8) + [0]
        let attributeLength = 4 + value.count
        let padding = -attributeLength & 3
        var message: [UInt8] = []
        func append(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number) { message.append(contentsOf: $0) }
        }
        append(UInt32(20 + attributeLength + padding))
        append(UInt16(7 << 8))  // NFNL_SUBSYS_ACCT, NFNL_MSG_ACCT_NEW
        append(UInt16(0x1 | 0x4 | 0x200 | 0x400))  // NLM_F_REQUEST, ACK, EXCL, CREATE
        append(sequence)
        append(UInt32(0))  // the kernel fills in the port
        append(UInt32(0))  // nfgenmsg: AF_UNSPEC, NFNETLINK_V0, no resource
        append(UInt16(attributeLength))
        append(UInt16(1))  // NFACCT_NAME
        message += value + [UInt8](repeating: 0, count: padding)
        return message
    }

    /// Sends a message to the kernel and returns the errno of its acknowledgement.
    private static func exchange(_ message: [UInt8], on descriptor: Int32) -> Int32 {
        // sockaddr_nl of the kernel: the family, and port 0.
        var kernel = sockaddr()
        kernel.sa_family = sa_family_t(AF_NETLINK)
        let sent = sendto(descriptor, message, message.count, 0, &kernel, socklen_t(12))
        guard sent == message.count else { return errno }
        var reply = [UInt8](repeating: 0, count: 8192)
        let received = recv(descriptor, &reply, reply.count, 0)
        guard received >= 0 else { return errno }
        // NLMSG_ERROR is an nlmsghdr followed by the negative errno, 0 for success.
        guard received >= 20 else { return EBADMSG }
        return reply.withUnsafeBytes { bytes in
            let errorType: UInt16 = 2
            guard bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self) == errorType else { return EBADMSG }
            return -bytes.loadUnaligned(fromByteOffset: 16, as: Int32.self)
        }
    }
}
