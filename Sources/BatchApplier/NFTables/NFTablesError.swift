import ProxyCore
public import SystemPackage

/// A failed operation on a table of nf_tables. Whatever the kernel refuses, nothing of the transaction is changed.
public struct NFTablesError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// Another transaction came in between: the caller looks at the table again and repeats.
        case outdated
        /// The kernel refused messages.
        case refused
        /// The batch was not sent: its fault says why.
        case incomplete
        /// The kernel cannot do it at all, or this process may not: repeating is of no use.
        case unsupported
        /// It is not known whether the transaction was committed: the table has to be read.
        case unknown
    }

    /// Where in a batch the kernel saw the first fault.
    public struct Place: Hashable, Sendable {
        /// The message's number in the batch.
        public var message: Int
        /// The byte within the message (`NLMSGERR_ATTR_OFFS`), counted from its header; nil where the kernel does not
        /// say.
        public var offset: Int?
    }

    public var kind: Kind
    public var sentence: String
    public var errno: Errno
    public var place: Place?

    init(_ error: NetlinkError) {
        kind = Self.forGood.contains(error.errno) ? .unsupported : .unknown
        sentence = Self.sentence(forGood: error.errno) ?? error.description
        errno = error.errno
    }

    /// - Parameter error: of a request in the transaction of `batch`, where 0 is the one that begins it.
    init(_ error: NetlinkError, of batch: NFTablesBatch, alsoRefused count: Int) {
        errno = error.errno
        let index = error.index ?? 0
        if index == 0, error.errno == Errno(rawValue: Self.restart) {
            kind = .outdated
        } else {
            kind = index == 0 && Self.forGood.contains(error.errno) ? .unsupported : .refused
        }
        if index > 0 { place = Place(message: index - 1, offset: error.offset) }
        let reason = error.explanation.map { ": \($0)" } ?? ""
        let others = count > 0 ? ", and \(count) more" : ""
        let refusal = "nf_tables refused the transaction (\(error.errno)\(reason)\(others))"
        sentence = kind == .unsupported ? Self.sentence(forGood: error.errno) ?? refusal : refusal
    }

    /// Nil where the errno does not tell why.
    private static func sentence(forGood errno: Errno) -> String? {
        switch errno {
        case .notPermitted, .permissionDenied:
            "nf_tables cannot be used without root, or CAP_NET_ADMIN in the network namespace (\(errno))"
        case .notSupported, .notSupportedOnSocket, .protocolNotSupported, .addressFamilyNotSupported:
            "this kernel has no nf_tables, which nftables mode needs (CONFIG_NF_TABLES; \(errno))"
        default: nil
        }
    }

    /// True if the kernel may have refused something because it was built without it: it does not say what it looked
    /// for in vain.
    public var mayLackFeature: Bool {
        kind == .refused && [.noSuchFileOrDirectory, .notSupported, .notSupportedOnSocket].contains(errno)
    }

    /// A batch that lacks something, so that nothing of it was sent.
    init(fault: String) {
        kind = .incomplete
        sentence = "the transaction is not whole and was not sent: \(fault)"
        errno = .noMemory
    }

    /// What does not change by being tried again: no rights, no nf_tables in the kernel.
    private static let forGood: [Errno] = [
        .notPermitted, .permissionDenied, .notSupported, .notSupportedOnSocket, .protocolNotSupported,
        .addressFamilyNotSupported,
    ]
    /// ERESTART of errno-base.h, which Glibc has no name for in Swift.
    private static let restart: CInt = 85

    /// The same with what the kernel saw the fault in.
    public func naming(_ object: String?) -> NFTablesError {
        guard let object else { return self }
        var named = self
        named.sentence += ": \(object)"
        return named
    }

    /// True where there is no nf_tables at all, and not only no right to use it.
    public var isWithoutTables: Bool {
        kind == .unsupported && errno != .notPermitted && errno != .permissionDenied
    }

    /// True if a transaction that a whole kernel takes was refused because this one has less.
    public var tellsOfAbsence: Bool {
        mayLackFeature || isWithoutTables || kind == .refused && errno == .invalidArgument
    }

    public var isOutdated: Bool { kind == .outdated }
    public var description: String { sentence }
}
