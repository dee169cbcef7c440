import Foundation
import NIOCore
import Synchronization

/// What the connections of a server share.
final class ServerState: Sendable {
    let options: TestAPIServerOptions
    let store: Mutex<ObjectStore>
    let credentials: Mutex<Credentials?>
    let faults = Mutex(FaultQueue())
    let requests = Mutex(RequestLog())
    let connections = Mutex<[ObjectIdentifier: any Channel]>([:])

    init(_ options: TestAPIServerOptions) {
        self.options = options
        store = Mutex(ObjectStore(version: max(0, options.firstVersion), window: max(0, options.window)))
        credentials = Mutex(options.credentials)
    }

    /// What `/version` answers, spaced as a real server does.
    var version: [UInt8] {
        let fields = [
            ("major", "1"), ("minor", String(options.minorVersion)), ("emulationMajor", "1"),
            ("emulationMinor", String(options.minorVersion)), ("minCompatibilityMajor", "1"),
            ("minCompatibilityMinor", String(options.minorVersion - 1)),
            ("gitVersion", "v1.\(options.minorVersion).0-test"), ("gitCommit", ""), ("gitTreeState", ""),
            ("buildDate", "1970-01-01T00:00:00Z"), ("goVersion", ""), ("compiler", ""), ("platform", "linux/amd64"),
        ]
        return Array("{\n\(fields.map { "  \"\($0)\": \"\($1)\"" }.joined(separator: ",\n"))\n}".utf8)
    }
}

extension ServerState {
    /// What a list is answered with.
    func list(
        _ resource: APIResource, _ request: ServerRequest, _ encoding: ContentEncoding
    ) throws(Refusal) -> ListBody {
        let selector = try ObjectSelector(
            labels: request["labelSelector"], fields: request["fieldSelector"], of: resource)
        let page = try self.page(resource, request)
        var objects = selector.isEmpty ? page.objects : page.objects.filter(selector.matches)
        var metadata: JSONValue = ["resourceVersion": .string(String(page.version))]
        if let limit = page.limit, limit > 0, objects.count > limit {
            let remaining = objects.count - limit
            objects = Array(objects[..<limit])
            let last = objects[limit - 1].value["metadata"]
            let key = ObjectStore.key(namespace: last["namespace"].string, name: last["name"].string ?? "")
            metadata["continue"] = .string(ContinueToken(version: page.version, start: "\(key)\0").text)
            // With a selector nobody has counted what the rest of it selects.
            if selector.isEmpty { metadata["remainingItemCount"] = .integer(remaining) }
        }
        return ListBody(resource, objects, metadata: metadata, encoding)
    }

    private struct Page {
        var objects: [StoredObject]
        var version: Int
        var limit: Int?
    }

    /// The objects of the version that is asked for, not yet selected.
    private func page(_ resource: APIResource, _ request: ServerRequest) throws(Refusal) -> Page {
        let limit = try request.number("limit")
        let wanted = try request.number("resourceVersion")
        let token = request["continue"].isEmpty ? nil : try ContinueToken(request["continue"])
        let isExact = request["resourceVersionMatch"] == "Exact"
        let result = store.withLock { store -> Result<Page, Refusal> in
            if let token {
                guard token.version >= store.horizon, token.version <= store.version else {
                    return .failure(.expiredContinue)
                }
                let rest = store.objects(resource, at: token.version).drop { object in
                    let metadata = object.value["metadata"]
                    let name = metadata["name"].string ?? ""
                    return ObjectStore.key(namespace: metadata["namespace"].string, name: name) < token.start
                }
                return .success(Page(objects: Array(rest), version: token.version, limit: limit))
            }
            if let wanted, wanted > store.version {
                return .failure(.tooLarge(version: wanted, current: store.version))
            }
            if isExact, let wanted {
                guard wanted >= store.horizon else { return .failure(.expiredVersion) }
                return .success(Page(objects: store.objects(resource, at: wanted), version: wanted, limit: limit))
            }
            // Version 0 is answered from the watch cache, which knows no pages.
            return .success(
                Page(objects: store.objects(resource), version: store.version, limit: wanted == 0 ? nil : limit))
        }
        return try result.get()
    }
}

extension ServerState {
    /// Starts a watch; `wake` is called on any thread when there is something to send.
    func watch(
        _ resource: APIResource, _ request: ServerRequest, _ encoding: ContentEncoding, _ fault: StreamFault?,
        wake: @escaping @Sendable () -> Void
    ) throws(Refusal) -> WatchBody {
        let selector = try ObjectSelector(
            labels: request["labelSelector"], fields: request["fieldSelector"], of: resource)
        let version = try request.number("resourceVersion") ?? 0
        let start = try watchStart(version, request)
        var first = 0
        if case .version(let version) = start { first = version }
        let queue = WatchQueue(resource, start: first, wake: wake)
        if let fault { queue.append([.fault(fault)]) }
        store.withLock { store in
            if case .version(let version) = start, version < store.horizon {
                queue.append([.refusal(.expiredWatch(from: version, horizon: store.horizon))])
            } else {
                store.start(queue, from: start)
            }
        }
        return WatchBody(queue, selector, encoding)
    }

    private func watchStart(_ version: Int, _ request: ServerRequest) throws(Refusal) -> WatchStart {
        let match = request["resourceVersionMatch"]
        if request.isTrue("sendInitialEvents") {
            switch options.initialEvents {
            case .supported:
                guard match == "NotOlderThan" else {
                    throw .invalidOption(
                        "resourceVersionMatch",
                        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
                }
                return .initialEvents(bookmark: request.isTrue("allowWatchBookmarks"))
            case .refused(let code):
                throw .invalidOption(
                    "sendInitialEvents",
                    "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
                    code: code)
            case .ignored: break
            }
        } else if !match.isEmpty {
            throw .invalidOption(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        }
        return version == 0 ? .initialEvents(bookmark: false) : .version(version)
    }
}

/// Where the next page begins, in the form that a real server gives it.
struct ContinueToken: Sendable {
    let version: Int
    /// The first key of the page: the last one of the page before, and a zero byte.
    let start: String

    init(version: Int, start: String) {
        self.version = version
        self.start = start
    }

    init(_ text: String) throws(Refusal) {
        var padded = text.replacing("-", with: "+").replacing("_", with: "/")
        while padded.utf8.count % 4 != 0 { padded += "=" }
        guard let data = Data(base64Encoded: padded), let value = try? JSONValue(parsing: data),
            let version = value["rv"].integer, let start = value["start"].string, start.first == "/"
        else { throw .badRequest("continue key is not valid") }
        self.init(version: version, start: String(start.dropFirst()))
    }

    var text: String {
        let start = String(decoding: JSONValue.string("/" + start).text, as: UTF8.self)
        return Data(#"{"v":"meta.k8s.io/v1","rv":\#(version),"start":\#(start)}"#.utf8).base64EncodedString()
            .replacing("=", with: "").replacing("+", with: "-").replacing("/", with: "_")
    }
}
