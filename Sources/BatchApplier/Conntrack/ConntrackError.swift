package import SystemPackage

/// Why UDP flows could not be cleaned.
package enum ConntrackError: Error, Hashable, Sendable, CustomStringConvertible {
    /// This kernel does not track connections, or not for us; to try again is of no use.
    case unavailable(Errno)
    /// Some flows that are stale may still be there.
    case failed(NetlinkError)
    case cancelled

    package init(_ error: NetlinkError) {
        switch error.errno {
        // A kernel without netfilter, without ctnetlink, and a process without CAP_NET_ADMIN.
        case .protocolNotSupported, .addressFamilyNotSupported, .invalidArgument, .notSupported, .notPermitted,
            .permissionDenied:
            self = .unavailable(error.errno)
        case .canceled: self = .cancelled
        default: self = .failed(error)
        }
    }

    package var description: String {
        switch self {
        case .unavailable(.notPermitted), .unavailable(.permissionDenied):
            "stale UDP flows cannot be deleted: that needs the capability CAP_NET_ADMIN"
        case .unavailable(let errno):
            "stale UDP flows cannot be deleted: this kernel has no nf_conntrack_netlink (\(errno))"
        case .failed(let error): "stale UDP flows may remain: \(error)"
        case .cancelled: "the deletion of stale UDP flows was cancelled"
        }
    }
}
