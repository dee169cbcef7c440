package import ProxyCore

/// Decodes the messages of one encoding to the types that serve manifests too, so that defaults and faults are
/// decided once.
///
/// Every function throws where the bytes are no such message. A fault inside an object is not one: the object's own
/// `change` tells it.
package protocol WireDecoder: Sendable {
    /// An item of a list of objects of the kind.
    func item(_ message: ArraySlice<UInt8>, of kind: ObjectKind) throws -> WireObject
    /// The list's own metadata.
    func listMetadata(_ message: ArraySlice<UInt8>) throws -> WireListMetadata
    /// An event of a watch of the kind.
    func event(_ message: ArraySlice<UInt8>, of kind: ObjectKind) throws -> WireEvent
    /// The body of a response that is no success.
    func status(_ body: ArraySlice<UInt8>) throws -> WireStatus
}

/// The fields of a list's metadata that are read.
package struct WireListMetadata: Decodable, Hashable, Sendable {
    package var resourceVersion: String?
    package var `continue`: String?

    package init(resourceVersion: String? = nil, continue: String? = nil) {
        self.resourceVersion = resourceVersion
        self.continue = `continue`
    }
}

/// The fields of a Status that are read: what a server says when it refuses.
package struct WireStatus: Hashable, Sendable {
    /// As an HTTP status; 0 if there is none.
    package var code: Int
    package var message: String
    /// After how many seconds the request can be repeated; nil if the server does not say.
    package var retryAfter: Int?

    package init(code: Int, message: String, retryAfter: Int? = nil) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }
}

/// One event of a watch.
package enum WireEvent: Sendable {
    /// `ADDED` and `MODIFIED`: what matters is the object as it is now.
    case changed(WireObject)
    case deleted(WireObject)
    /// Every change up to the version has been sent.
    case bookmark(version: String, endsInitialEvents: Bool)
    case error(WireStatus)

    /// The version that it tells of; nil for an error.
    var version: String? {
        switch self {
        case .changed(let object), .deleted(let object): object.metadata?.version
        case .bookmark(let version, _): version
        case .error: nil
        }
    }

    /// The event that a server calls `type`; nil for a type that is not known, or an object of another kind.
    package init?(type: String, _ object: WireObject, of kind: ObjectKind) {
        guard object.kind == kind else { return nil }
        switch type {
        case "ADDED", "MODIFIED": self = .changed(object)
        case "DELETED": self = .deleted(object)
        case "BOOKMARK":
            guard let metadata = object.metadata, !metadata.version.isEmpty else { return nil }
            self = .bookmark(version: metadata.version, endsInitialEvents: metadata.endsInitialEvents)
        default: return nil
        }
    }
}

/// Bytes that are not the message that they should be.
package struct UndecodableMessage: Error {
    package init() {}
}
