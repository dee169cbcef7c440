import Glibc

/// The kernel's accounting objects (nfacct), which count the packets that rules with `-m nfacct` match.
public enum Accounting {
    /// A failed request for an accounting object.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public var objectName: String
        public var errno: Int32
        /// True where it was to be removed, false where it was to be made.
        var isRemoval = false

        /// True where the kernel has no nfnetlink_acct: nfnetlink answers EINVAL to a subsystem that nobody has
        /// registered, and there may be no nfnetlink at all.
        public var isUnsupported: Bool { [EINVAL, EPROTONOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT].contains(errno) }

        public var description: String {
            if isUnsupported {
                return "The kernel has no accounting objects (nfnetlink_acct), so \(objectName) cannot be made."
            }
            let reason = isInUse ? "a rule still counts in it" : String(cString: strerror(errno))
            return "The accounting object \(objectName) could not be \(isRemoval ? "removed" : "made"): \(reason)."
        }

        /// True for an object that could not be removed because a rule counts in it.
        public var isInUse: Bool { isRemoval && errno == EBUSY }
    }

    /// The objects that rules count in: forwarded packets dropped as invalid, and packets to node ports on loopback.
    public static let objectNames = ["ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"]

    /// Makes the objects that do not exist yet, in the network namespace of this process. Those that exist keep their
    /// counts.
    ///
    /// One NFNL_MSG_ACCT_NEW each. NLM_F_EXCL makes the kernel answer EEXIST for one that is there; without it, it
    /// answers EBUSY.
    public static func ensure(_ names: [String]) throws(Failure) {
        for name in names {
            let code = request(.new, name)
            guard code == 0 || code == EEXIST else { throw Failure(objectName: name, errno: code) }
        }
    }

    /// Removes the objects that exist, in the network namespace of this process. Returns those that stay, with why.
    ///
    /// The kernel lets go of an object some time after the rule that counted in it is gone: nf_tables frees its rules
    /// in a work queue. So one that is in use is asked for again, for a second in all.
    public static func remove(_ names: [String]) async -> [Failure] {
        var failures: [Failure] = []
        let clock = ContinuousClock()
        let end = clock.now + .seconds(1)
        for name in names {
            var code = request(.delete, name)
            while code == EBUSY, clock.now < end {
                try? await Task.sleep(for: .milliseconds(20))
                code = request(.delete, name)
            }
            let failure = Failure(objectName: name, errno: code, isRemoval: true)
            if code != 0, code != ENOENT, !failure.isUnsupported { failures.append(failure) }
        }
        return failures
    }

    /// Those of the objects that exist.
    public static func existing(_ names: [String]) -> [String] { names.filter { request(.get, $0) == 0 } }

    /// Whether the kernel has accounting objects; makes none. Asks for one, which need not be there.
    public static func isSupported() -> Bool {
        let code = request(.get, objectNames[0])
        return code == 0 || code == ENOENT
    }

    /// What is asked, by message type (linux/netfilter/nfnetlink_acct.h).
    enum Request: UInt16 {
        case new = 0
        case get = 1
        case delete = 3

        /// NLM_F_REQUEST and NLM_F_ACK, and for a new object NLM_F_EXCL and NLM_F_CREATE.
        var flags: UInt16 { self == .new ? 0x605 : 0x5 }
    }

    /// Returns the errno of the kernel's answer, 0 for success.
    private static func request(_ request: Request, _ name: String) -> Int32 {
        let netfilter: Int32 = 12  // NETLINK_NETFILTER
        let descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), netfilter)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        return exchange(message(request, name), on: descriptor)
    }

    /// An nlmsghdr (16 bytes), an nfgenmsg (4) and the attribute NFACCT_NAME, all in the machine's byte order.
    static func message(_ request: Request, _ name: String) -> [UInt8] {
        let value = Array(name.utf8) + [0]
        let attributeLength = 4 + value.count
        let padding = -attributeLength & 3
        var message: [UInt8] = []
        func append(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number) { message.append(contentsOf: $0) }
        }
        append(UInt32(20 + attributeLength + padding))
        append(UInt16(7 << 8) | request.rawValue)  // NFNL_SUBSYS_ACCT
        append(request.flags)
        append(UInt32(1))  // sequence: a socket carries one message
        append(UInt32(0))  // the kernel fills in the port
        append(UInt32(0))  // nfgenmsg: AF_UNSPEC, NFNETLINK_V0, no resource
        append(UInt16(attributeLength))
        append(UInt16(1))  // NFACCT_NAME
        message += value + [UInt8](repeating: 0, count: padding)
        return message
    }

    /// Sends a message to the kernel and returns the errno of its answer. An object that is found comes before the
    /// acknowledgement, and is answer enough.
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
            guard bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self) == errorType else { return 0 }
            return -bytes.loadUnaligned(fromByteOffset: 16, as: Int32.self)
        }
    }
}
