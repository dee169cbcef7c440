/// The two forms in which the API speaks.
enum ContentEncoding: Sendable {
    case json, protobuf

    var contentType: String {
        switch self {
        case .json: "application/json"
        case .protobuf: "application/vnd.kubernetes.protobuf"
        }
    }

    var watchContentType: String {
        self == .json ? contentType : contentType + ";stream=watch"
    }

    /// The first media type of an Accept header that is spoken; nil if there is none.
    init?(accept: String) {
        let types = accept.split(separator: ",").map { clause in
            clause.prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
        }
        for type in types.isEmpty ? ["*/*"] : types {
            switch type {
            case "application/vnd.kubernetes.protobuf": self = .protobuf
            case "application/json", "application/*", "*/*": self = .json
            default: continue
            }
            return
        }
        return nil
    }

    func encode(_ refusal: Refusal) -> [UInt8] {
        switch self {
        case .json: refusal.status.text + [UInt8(ascii: "\n")]
        case .protobuf:
            Self.wrap(ProtobufSchema.status.encode(refusal.status), apiVersion: "v1", kind: "Status")
        }
    }

    // MARK: Events

    func event(_ type: String, _ object: StoredObject) -> [UInt8] {
        switch self {
        case .json: Self.jsonEvent(type, object.typedJSON)
        case .protobuf:
            Self.frame(
                type,
                Self.wrap(object.protobuf, apiVersion: object.resource.apiVersion, kind: object.resource.kind))
        }
    }

    /// A BOOKMARK, the one that ends the initial events annotated so.
    func bookmark(_ resource: APIResource, version: Int, endsInitialEvents: Bool) -> [UInt8] {
        var value = resource.emptyObject
        if endsInitialEvents {
            value["metadata"] = ["annotations": ["k8s.io/initial-events-end": "true"]]
        }
        return event("BOOKMARK", StoredObject(resource, value, version: version))
    }

    func errorEvent(_ refusal: Refusal) -> [UInt8] {
        switch self {
        case .json: Self.jsonEvent("ERROR", refusal.status.text)
        case .protobuf: Self.frame("ERROR", encode(refusal))
        }
    }

    /// Something at an event's place that cannot be read: an object cut off, or a frame that is no message.
    var malformedEvent: [UInt8] {
        switch self {
        case .json: Array(#"{"type":"ADDED","object":{"kind":"#.utf8) + [UInt8(ascii: "\n")]
        case .protobuf: [0, 0, 0, 8] + [UInt8](repeating: 0xff, count: 8)
        }
    }

    private static func jsonEvent(_ type: String, _ object: [UInt8]) -> [UInt8] {
        Array(#"{"type":"\#(type)","object":"#.utf8) + object + Array("}\n".utf8)
    }

    /// A WatchEvent behind its length: the type, and the object in a RawExtension.
    private static func frame(_ type: String, _ object: [UInt8]) -> [UInt8] {
        var raw = ProtobufWriter()
        raw.message(object, 1)
        var event = ProtobufWriter()
        event.string(type, 1)
        event.message(raw.bytes, 2)
        let length = UInt32(event.bytes.count)
        return (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + event.bytes
    }

    // MARK: Wrapping

    static let magic: [UInt8] = [0x6b, 0x38, 0x73, 0]

    /// The magic, then runtime.Unknown around a message.
    static func wrap(_ message: [UInt8], apiVersion: String, kind: String) -> [UInt8] {
        unknown(apiVersion: apiVersion, kind: kind, length: message.count) + message + unknownEnd
    }

    /// What comes before a wrapped message of so many bytes.
    static func unknown(apiVersion: String, kind: String, length: Int) -> [UInt8] {
        var type = ProtobufWriter()
        type.string(apiVersion, 1)
        type.string(kind, 2)
        var unknown = ProtobufWriter()
        unknown.message(type.bytes, 1)
        unknown.header(2, length: length)
        return magic + unknown.bytes
    }

    /// What comes after it: contentEncoding and contentType, both empty.
    static let unknownEnd: [UInt8] = [0x1a, 0, 0x22, 0]
}
