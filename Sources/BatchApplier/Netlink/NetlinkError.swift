package import SystemPackage

/// A failed netlink operation.
package struct NetlinkError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was asked for, such as "read the chain KUBE-SERVICES of table nat".
    package var operation: String
    /// From the kernel's answer or from the system call that failed, never from text.
    package var errno: Errno
    /// What the kernel says about it (`NLMSGERR_ATTR_MSG`), where it does.
    package var explanation: String?
    /// The place in the batch of the request that failed; nil where the socket itself failed.
    package var index: Int?
    /// The byte of the request, counted from its header, at which the kernel saw the fault (`NLMSGERR_ATTR_OFFS`).
    package var offset: Int?
    /// The request, its header first, where the kernel sent all of it back.
    package var echo: [UInt8]?

    package init(
        operation: String, errno: Errno, explanation: String? = nil, index: Int? = nil, offset: Int? = nil,
        echo: [UInt8]? = nil
    ) {
        self.operation = operation
        self.errno = errno
        self.explanation = explanation
        self.index = index
        self.offset = offset
        self.echo = echo
    }

    package var isNotFound: Bool { errno == .noSuchFileOrDirectory }
    /// Nothing came in time, and it is unknown whether the kernel did what it was asked for. Its answer may still
    /// come, and a dump may still be going on: only a new socket is sure to be free.
    package var isTimeout: Bool { errno == .timedOut }
    /// The kernel had more to say than the receive buffer took, so that answers are missing (ENOBUFS).
    package var lostReplies: Bool { errno == .noBufferSpace }
    /// A dump during which the listed objects changed (`NLM_F_DUMP_INTR`): it may lack some, or have some twice.
    package var isInterruptedDump: Bool { errno == .interrupted }

    package var description: String {
        let place = index.map { " (request \($0))" } ?? ""
        let reason = explanation.map { ": \($0)" } ?? ""
        return "netlink: cannot \(operation)\(place): \(errno)\(reason)"
    }
}
