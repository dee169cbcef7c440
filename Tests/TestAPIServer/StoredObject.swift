import Synchronization

/// One state of one object, with its encodings, each made once.
package final class StoredObject: Sendable {
    package let resource: APIResource
    /// The object without `kind` and `apiVersion`.
    package let value: JSONValue
    package let version: Int
    let labels: [String: String]
    /// In a list an object has no kind; in an event it has.
    let json: [UInt8]
    private let encoded = Mutex<[UInt8]?>(nil)

    init(_ resource: APIResource, _ value: JSONValue, version: Int) {
        self.resource = resource
        self.version = version
        var value = value
        value["metadata"]["resourceVersion"] = .string(String(version))
        self.value = value
        labels = value["metadata"]["labels"].fields.compactMapValues(\.string)
        json = value.text
    }

    /// The message, not wrapped.
    var protobuf: [UInt8] {
        encoded.withLock { encoded in
            if let encoded { return encoded }
            let bytes = ProtobufSchema.object(resource).encode(value)
            encoded = bytes
            return bytes
        }
    }

    /// The JSON with kind and version in front.
    var typedJSON: [UInt8] {
        Array(#"{"kind":"\#(resource.kind)","apiVersion":"\#(resource.apiVersion)","#.utf8) + json.dropFirst()
    }

    /// The object as it was, at a later version: what a DELETED event carries.
    func at(version: Int) -> StoredObject {
        StoredObject(resource, value, version: version)
    }
}

/// Something that happened to one object.
package final class ObjectChange: Sendable {
    package let version: Int
    let resource: APIResource
    let key: String
    let previous: StoredObject?
    let current: StoredObject?
    private let departed = Mutex<StoredObject?>(nil)

    init(version: Int, resource: APIResource, key: String, previous: StoredObject?, current: StoredObject?) {
        self.version = version
        self.resource = resource
        self.key = key
        self.previous = previous
        self.current = current
    }

    /// What the change is to someone who sees only the selected objects; nil if nothing.
    func event(for selector: ObjectSelector) -> (type: String, object: StoredObject)? {
        let before = previous.flatMap { selector.matches($0) ? $0 : nil }
        let after = current.flatMap { selector.matches($0) ? $0 : nil }
        if let after { return (before == nil ? "ADDED" : "MODIFIED", after) }
        guard let before else { return nil }
        return departed.withLock { departed in
            let object = departed ?? before.at(version: version)
            departed = object
            return ("DELETED", object)
        }
    }
}
