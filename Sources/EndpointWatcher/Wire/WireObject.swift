package import ProxyCore

/// An object of the API as JSON has it, of one of the kinds that are read, or the name of another kind.
///
/// Decoding never fails for a fault inside an object, only where the document is no object at all.
package enum WireObject: Decodable, Sendable {
    case service(WireService)
    case endpointSlice(WireEndpointSlice)
    case node(WireNode)
    case serviceCIDR(WireServiceCIDR)
    /// A list, whose items are read one by one by whoever reads the document. The default kind is that of the items
    /// of a typed list, which may leave it out.
    case list(defaultKind: String?, apiVersion: String)
    /// An object of a kind, or of a version, that is not read. `readVersion` tells which version is.
    case unread(kind: String, apiVersion: String, readVersion: String?)
    /// No object: the sentence says why.
    case faulty([InputFault])

    /// Where a decoder's `userInfo` has the kind and the version of objects that leave them out.
    package static let defaultKindKey = CodingUserInfoKey(rawValue: "defaultKind")
    package static let defaultVersionKey = CodingUserInfoKey(rawValue: "defaultVersion")

    static let portNameFault = "is not at most 63 letters, digits, hyphens, dots and underscores"

    private static let versions: [String: [String]] = [
        "Service": ["v1"], "Node": ["v1"], "EndpointSlice": ["discovery.k8s.io/v1"],
        "ServiceCIDR": ["networking.k8s.io/v1", "networking.k8s.io/v1beta1"],
    ]

    private enum CodingKeys: String, CodingKey { case apiVersion, kind }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        var faults: [InputFault] = []
        let kind = try container.decode(Lenient<String>.self, forKey: .kind).get(or: "", &faults, severity: .error)
        let version = try container.decode(Lenient<String>.self, forKey: .apiVersion)
            .get(or: "", &faults, severity: .error)
        guard let kind, let version else {
            self = .faulty(faults)
            return
        }
        let fallback = Self.defaultKindKey.flatMap { decoder.userInfo[$0] as? String }
        guard let kind = kind.isEmpty ? fallback : kind else {
            self = .faulty([InputFault(.error, [], "has no kind", value: .none)])
            return
        }
        if kind == "List" {
            self = .list(defaultKind: nil, apiVersion: "")
            return
        }
        let isList = kind.hasSuffix("List") && Self.versions[String(kind.dropLast(4))] != nil
        let itemKind = isList ? String(kind.dropLast(4)) : kind
        let defaultVersion = Self.defaultVersionKey.flatMap { decoder.userInfo[$0] as? String } ?? ""
        let apiVersion = version.isEmpty ? defaultVersion : version
        guard let versions = Self.versions[itemKind] else {
            self = .unread(kind: kind, apiVersion: apiVersion, readVersion: nil)
            return
        }
        // Without a version nothing says that it is another one.
        guard apiVersion.isEmpty || versions.contains(apiVersion) else {
            self = .unread(kind: kind, apiVersion: apiVersion, readVersion: versions[0])
            return
        }
        if isList {
            self = .list(defaultKind: itemKind, apiVersion: apiVersion)
            return
        }
        switch kind {
        case "Service": self = .service(try WireService(from: decoder))
        case "EndpointSlice": self = .endpointSlice(try WireEndpointSlice(from: decoder))
        case "Node": self = .node(try WireNode(from: decoder))
        default: self = .serviceCIDR(try WireServiceCIDR(from: decoder))
        }
    }

    /// The object as the proxy sees it, nil if it is left out; its faults are appended.
    package func change(_ pool: inout StringPool, _ faults: inout [InputFault]) -> ObjectChange? {
        switch self {
        case .service(let wire): wire.service(&faults).map { .service($0) }
        case .endpointSlice(let wire): wire.endpointSlice(&pool, &faults).map { .endpointSlice($0) }
        case .node(let wire): wire.node(&faults).map { .node($0) }
        case .serviceCIDR(let wire): wire.serviceCIDR(&faults).map { .serviceCIDR($0) }
        case .list, .unread: nil
        case .faulty(let found):
            {
                faults += found
                return nil
            }()
        }
    }

    /// The kind, nil for what is no object of a kind that is read.
    package var kind: ObjectKind? {
        switch self {
        case .service: .service
        case .endpointSlice: .endpointSlice
        case .node: .node
        case .serviceCIDR: .serviceCIDR
        case .list, .unread, .faulty: nil
        }
    }

    /// Nil if there is none, or it is no object.
    package var metadata: WireMetadata? {
        let field: Lenient<WireMetadata> =
            switch self {
            case .service(let wire): wire.metadata
            case .endpointSlice(let wire): wire.metadata
            case .node(let wire): wire.metadata
            case .serviceCIDR(let wire): wire.metadata
            case .list, .unread, .faulty: .missing
            }
        return if case .value(let metadata) = field { metadata } else { nil }
    }

    /// What identifies the object; nil without a name that can be one.
    package var key: ObjectKey? {
        guard let kind, let metadata else { return nil }
        var faults: [InputFault] = []
        switch kind {
        case .service: return metadata.objectName(limit: 63, &faults, else: "").map { .service($0) }
        case .endpointSlice: return metadata.objectName(limit: 253, &faults, else: "").map { .endpointSlice($0) }
        case .node: return metadata.clusterName(&faults).map { .node($0) }
        case .serviceCIDR: return metadata.clusterName(&faults).map { .serviceCIDR($0) }
        }
    }

    /// Names the object in messages: `Service default/web`.
    package var subject: String {
        guard let kind else { return "" }
        let isNamespaced = kind == .service || kind == .endpointSlice
        guard let name = metadata?.subject(isNamespaced: isNamespaced) else { return kind.rawValue }
        return "\(kind.rawValue) \(name)"
    }
}

extension InputFault {
    /// A warning that names a text.
    static func warning(_ path: [PathStep], _ text: String, _ sentence: String) -> InputFault {
        InputFault(.warning, path, sentence, value: .text("\"\(text.printable())\""))
    }

    /// A warning that names a number.
    static func warning(_ path: [PathStep], _ number: Int, _ sentence: String) -> InputFault {
        InputFault(.warning, path, sentence, value: .text(String(number)))
    }
}
