import ProxyCore
public import SystemPackage

/// A failed operation on virtual servers, on sets, or on the device of the service addresses.
public struct IPVSError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// The kernel cannot do it at all, or this process may not: repeating is of no use before that has changed.
        case unsupported
        /// The kernel refused it, and did nothing of it.
        case refused
        /// It is not known whether it was done: what there is has to be listed.
        case unknown
    }

    public var kind: Kind
    public var sentence: String
    public var errno: Errno
    /// What the kernel lacks, for kind `unsupported`.
    public private(set) var lack: String?

    public var description: String { sentence }

    /// - Parameters:
    ///   - part: what of the kernel was spoken to.
    ///   - object: what was to be done; nil for what the error says.
    init(_ error: NetlinkError, _ part: KernelPart, _ object: String? = nil) {
        errno = error.errno
        let operation = object ?? error.operation
        if let lack = part.lack(errno) {
            kind = .unsupported
            self.lack = lack
            sentence = "cannot \(operation): \(lack) (\(errno))"
        } else {
            kind = error.index == nil ? .unknown : .refused
            let explanation = error.explanation.map { ": \($0)" } ?? ""
            sentence = "cannot \(operation): \(part.reason(errno) ?? "\(errno)")\(explanation)"
        }
    }

    /// For a fault that is found before the kernel is asked.
    init(_ kind: Kind, _ sentence: String, _ errno: Errno) {
        self.kind = kind
        self.sentence = sentence
        self.errno = errno
    }
}

/// A part of the kernel that ipvs mode uses.
enum KernelPart {
    /// Listing, and all that is said of IPVS as a whole.
    case servers
    /// One change to a virtual server.
    case server(scheduler: String?)
    case sets
    case device
    /// One address of the device.
    case address

    /// What is missing, where an errno tells of that.
    fileprivate func lack(_ errno: Errno) -> String? {
        switch (self, errno) {
        case (.servers, .noSuchFileOrDirectory): "this kernel has no IPVS, or the module ip_vs is not loaded"
        case (.server(let scheduler?), .noSuchFileOrDirectory):
            "this kernel has no scheduler \(scheduler), the module ip_vs_\(scheduler)"
        case (.server, .addressFamilyNotSupported): "this kernel's IPVS does not do IPv6 (CONFIG_IP_VS_IPV6)"
        case (.sets, .protocolNotSupported): "this kernel has no sets, or the module ip_set is not loaded"
        case (.sets, IPSetErrno.unknownType):
            "this kernel has no sets of this type: the module of the type (ip_set_…) is missing"
        case (.device, .notSupportedOnSocket), (.device, .notSupported):
            "this kernel has no dummy devices, or the module dummy is not loaded"
        case (.address, .permissionDenied): "IPv6 is switched off for the device (the setting disable_ipv6)"
        case (.address, .notSupportedOnSocket), (.address, .notSupported), (.address, .addressFamilyNotSupported):
            "this kernel has no IPv6"
        case (_, .notPermitted), (_, .permissionDenied): "this needs root, or CAP_NET_ADMIN in the network namespace"
        default: nil
        }
    }

    /// What an errno means here; nil where its own text says it.
    fileprivate func reason(_ errno: Errno) -> String? {
        switch (self, errno) {
        case (.server, .fileExists): "it is there already"
        case (.server, .noSuchProcess): "there is no such virtual server"
        case (.server, .noSuchFileOrDirectory): "there is no such real server"
        case (.server, .invalidArgument): "the kernel takes no such address or no such option"
        case (.sets, _): IPSetErrno.reason(errno)
        case (.address, .operationNotSupportedByDevice): "the device is not there"
        default: nil
        }
    }
}

/// A change that failed, of several that were asked for together.
public struct IPVSFailure: Hashable, Sendable {
    /// Its place among them.
    public var index: Int
    public var error: IPVSError
}

extension [IPVSFailure] {
    /// Without those of real servers whose virtual server could not be added: that one tells why.
    ///
    /// - Parameter changes: what was asked for.
    func withoutConsequences(of changes: [IPVSChange]) -> [IPVSFailure] {
        var lacking: Set<VirtualServer.Key> = []
        return filter { failure in
            switch changes[failure.index] {
            case .addServer(let key, _): lacking.insert(key)
            case .addRealServer(_, _, let key): return !lacking.contains(key) || failure.error.errno != .noSuchProcess
            default: break
            }
            return true
        }
    }
}
