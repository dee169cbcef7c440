/// A body that is made as it is sent.
protocol ResponseBody {
    /// The next part, a few ten thousand bytes at most where objects are no larger.
    mutating func next() -> BodyPart
}

enum BodyPart {
    case bytes([UInt8])
    /// Nothing now; whoever makes the body says when there is more.
    case wait
    case end
    /// The connection breaks here.
    case reset
    /// Nothing more, and no end.
    case stall
}

/// So many bytes are gathered before they are sent.
private let partSize = 32 * 1024

/// A body that is there as a whole.
struct FixedBody: ResponseBody {
    private var bytes: [UInt8]?

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func next() -> BodyPart {
        guard let part = bytes.take() else { return .end }
        return .bytes(part)
    }
}

/// A list, encoded while it is sent.
struct ListBody: ResponseBody {
    private let objects: [StoredObject]
    private let encoding: ContentEncoding
    private let start: [UInt8]
    private let last: [UInt8]
    /// The length of the whole body.
    let length: Int
    /// How many of the start, the objects and the end have been given out.
    private var position = 0

    init(_ resource: APIResource, _ objects: [StoredObject], metadata: JSONValue, _ encoding: ContentEncoding) {
        self.objects = objects
        self.encoding = encoding
        let kind = resource.kind + "List"
        switch encoding {
        case .json:
            let opening = #"{"kind":"\#(kind)","apiVersion":"\#(resource.apiVersion)","metadata":"#
            start = Array(opening.utf8) + metadata.text + Array(#","items":["#.utf8)
            last = Array("]}\n".utf8)
            length =
                objects.reduce(start.count + last.count) { $0 + $1.json.count } + max(0, objects.count - 1)
        case .protobuf:
            var listMetadata = ProtobufWriter()
            listMetadata.message(ProtobufSchema.listMetadata.encode(metadata), 1)
            // The message's length stands before it, so all objects are encoded by now.
            let count = objects.reduce(listMetadata.bytes.count) { $0 + Self.item($1).count }
            start =
                ContentEncoding.unknown(apiVersion: resource.apiVersion, kind: kind, length: count)
                + listMetadata.bytes
            last = ContentEncoding.unknownEnd
            length = start.count + count - listMetadata.bytes.count + last.count
        }
    }

    mutating func next() -> BodyPart {
        guard position < objects.count + 2 else { return .end }
        var bytes: [UInt8] = []
        while bytes.count < partSize, position < objects.count + 2 {
            switch position {
            case 0: bytes += start
            case objects.count + 1: bytes += last
            default:
                let object = objects[position - 1]
                if encoding == .protobuf {
                    bytes += Self.item(object)
                } else {
                    if position > 1 { bytes.append(UInt8(ascii: ",")) }
                    bytes += object.json
                }
            }
            position += 1
        }
        return .bytes(bytes)
    }

    private static func item(_ object: StoredObject) -> [UInt8] {
        var item = ProtobufWriter()
        item.message(object.protobuf, 2)
        return item.bytes
    }
}

/// The events of a watch, encoded while they are sent.
struct WatchBody: ResponseBody {
    let queue: WatchQueue
    private let selector: ObjectSelector
    private let encoding: ContentEncoding
    private var items: ArraySlice<WatchQueue.Item> = []
    /// How far the stream has come.
    private var version: Int
    /// What ends the stream, once the bytes before it are given out.
    private var conclusion: BodyPart?

    init(_ queue: WatchQueue, _ selector: ObjectSelector, _ encoding: ContentEncoding) {
        self.queue = queue
        self.selector = selector
        self.encoding = encoding
        version = queue.start
    }

    mutating func next() -> BodyPart {
        var bytes: [UInt8] = []
        while bytes.count < partSize, conclusion == nil {
            if items.isEmpty { items = queue.takeAll()[...] }
            guard let item = items.popFirst() else { break }
            append(item, to: &bytes)
        }
        return bytes.isEmpty ? conclusion ?? .wait : .bytes(bytes)
    }

    private mutating func append(_ item: WatchQueue.Item, to bytes: inout [UInt8]) {
        switch item {
        case .initial(let object):
            if selector.matches(object) { bytes += encoding.event("ADDED", object) }
        case .change(let change):
            version = change.version
            if let (type, object) = change.event(for: selector) { bytes += encoding.event(type, object) }
        case .bookmark(let version, let endsInitialEvents):
            self.version = version
            bytes += encoding.bookmark(queue.resource, version: version, endsInitialEvents: endsInitialEvents)
        case .refusal(let refusal):
            bytes += encoding.errorEvent(refusal)
            conclusion = .end
        case .end: conclusion = .end
        case .fault(let fault): append(fault, to: &bytes)
        }
    }

    private mutating func append(_ fault: StreamFault, to bytes: inout [UInt8]) {
        switch fault {
        case .expired:
            bytes += encoding.errorEvent(.expiredVersion)
            conclusion = .end
        case .internalError:
            bytes += encoding.errorEvent(.demanded(500, retryAfter: nil))
            conclusion = .end
        case .malformed: bytes += encoding.malformedEvent
        case .large(let size):
            var value = queue.resource.emptyObject
            value["metadata"] = [
                "name": "large", "namespace": "default",
                "annotations": ["filler": .string(String(repeating: "x", count: max(0, size)))],
            ]
            bytes += encoding.event("ADDED", StoredObject(queue.resource, value, version: version))
        case .end: conclusion = .end
        case .reset: conclusion = .reset
        case .stall: conclusion = .stall
        }
    }
}
