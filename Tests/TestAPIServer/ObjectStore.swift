import Foundation

/// The objects, their one version counter, and the changes that a watch may start from.
struct ObjectStore: Sendable {
    /// The version of the last change.
    private(set) var version: Int
    /// Changes after this version are known; whoever asks for an older one is refused.
    private(set) var horizon: Int
    /// How many changes are kept.
    private let window: Int
    private var changes: [ObjectChange] = []
    private var tables: [APIResource: ObjectTable] = [:]
    private var watches: [ObjectIdentifier: WatchQueue] = [:]

    init(version: Int, window: Int) {
        self.version = version
        horizon = version
        self.window = window
    }

    // MARK: Changes

    /// Creates or replaces an object and returns its version. An equal object changes nothing, as on a real server.
    ///
    /// A `uid` and a `creationTimestamp` are kept if given, else taken from the object that is replaced, else made.
    mutating func set(_ value: JSONValue) throws(TestAPIServerError) -> Int {
        let (resource, key) = try Self.identify(value)
        var value = value
        value = .object(value.fields.filter { $0.key != "kind" && $0.key != "apiVersion" })
        let previous = tables[resource]?[key]
        for (field, initial) in [("uid", UUID().uuidString.lowercased()), ("creationTimestamp", Timestamp.now())]
        where value["metadata"][field] == .null {
            let kept = previous?.value["metadata"][field].string
            value["metadata"][field] = .string(kept ?? initial)
        }
        if let previous {
            value["metadata"]["resourceVersion"] = .string(String(previous.version))
            if value == previous.value { return previous.version }
        }
        let object = StoredObject(resource, value, version: version + 1)
        record(resource, key, previous, object)
        return version
    }

    /// Deletes an object and returns the version of the deletion; nil if there is no such object.
    mutating func delete(_ resource: APIResource, key: String) -> Int? {
        guard let previous = tables[resource]?[key] else { return nil }
        record(resource, key, previous, nil)
        return version
    }

    /// Forgets all changes, as a server does that has started anew or whose window has moved on.
    mutating func compact() {
        changes.removeAll()
        horizon = version
    }

    /// Counts the version up, as changes to other resources do.
    mutating func skipVersions(_ count: Int) {
        version += max(0, count)
    }

    private mutating func record(
        _ resource: APIResource, _ key: String, _ previous: StoredObject?, _ current: StoredObject?
    ) {
        version += 1
        tables[resource, default: ObjectTable()][key] = current
        let change = ObjectChange(
            version: version, resource: resource, key: key, previous: previous, current: current)
        changes.append(change)
        // Twice the window before anything moves, so that a change costs the same however large the window is.
        if changes.count > window {
            horizon = changes[changes.count - window - 1].version
            if changes.count > 2 * window { changes.removeFirst(changes.count - window) }
        }
        for watch in watches.values where watch.resource == resource && watch.start < version {
            watch.append([.change(change)])
        }
    }

    private static func identify(_ value: JSONValue) throws(TestAPIServerError) -> (APIResource, key: String) {
        guard let kind = value["kind"].string, let resource = APIResource(kind: kind) else {
            throw TestAPIServerError("no kind of object that this server has: \(value["kind"])")
        }
        guard let name = value["metadata"]["name"].string else {
            throw TestAPIServerError("a \(kind) without a name")
        }
        return (resource, key(namespace: value["metadata"]["namespace"].string, name: name))
    }

    static func key(namespace: String?, name: String) -> String {
        namespace.map { "\($0)/\(name)" } ?? name
    }

    // MARK: Lists and watches

    /// All objects of a resource in the order of their keys.
    func objects(_ resource: APIResource) -> [StoredObject] {
        tables[resource]?.objects ?? []
    }

    /// The objects as they were at a version that is not beyond the horizon.
    func objects(_ resource: APIResource, at version: Int) -> [StoredObject] {
        var table = tables[resource] ?? ObjectTable()
        for change in changes.reversed() where change.version > version && change.resource == resource {
            table[change.key] = change.previous
        }
        return table.objects
    }

    /// Adds what is asked for to a queue, and from now on every change.
    mutating func start(_ watch: WatchQueue, from start: WatchStart) {
        switch start {
        case .version(let wanted):
            watch.append(
                changes.filter { $0.version > wanted && $0.resource == watch.resource }.map { .change($0) })
        case .initialEvents(let bookmark):
            watch.append(objects(watch.resource).map { .initial($0) })
            if bookmark { watch.append([.bookmark(version: version, endsInitialEvents: true)]) }
        }
        watches[ObjectIdentifier(watch)] = watch
    }

    mutating func end(_ watch: WatchQueue) {
        watches[ObjectIdentifier(watch)] = nil
    }

    func watches(_ resource: APIResource?) -> [WatchQueue] {
        watches.values.filter { resource == nil || $0.resource == resource }
    }
}

/// Where a watch begins.
enum WatchStart: Sendable {
    case version(Int)
    /// ADDED for all that there is, then a bookmark or none.
    case initialEvents(bookmark: Bool)
}

/// Objects in the order of their keys.
private struct ObjectTable: Sendable {
    private var keys: [String] = []
    private(set) var objects: [StoredObject] = []

    subscript(_ key: String) -> StoredObject? {
        get {
            let index = position(key)
            return index < keys.count && keys[index] == key ? objects[index] : nil
        }
        set {
            let index = position(key)
            let isThere = index < keys.count && keys[index] == key
            switch (isThere, newValue) {
            case (true, let object?): objects[index] = object
            case (true, nil):
                keys.remove(at: index)
                objects.remove(at: index)
            case (false, let object?):
                keys.insert(key, at: index)
                objects.insert(object, at: index)
            case (false, nil): break
            }
        }
    }

    private func position(_ key: String) -> Int {
        var range = 0..<keys.count
        while !range.isEmpty {
            let middle = (range.lowerBound + range.upperBound) / 2
            range = keys[middle] < key ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return range.lowerBound
    }
}
