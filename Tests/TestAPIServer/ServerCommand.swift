/// What the program `test-api-server` can be told: one in a line of JSON on its standard input, such as
/// `{"delete":{"kind":"Service","namespace":"bank","name":"customer"}}` or `{"compact":{}}`.
package enum ServerCommand: Codable, Sendable {
    /// The object as JSON text.
    case set(json: String)
    case delete(kind: String, namespace: String?, name: String)
    /// A file with a List in JSON.
    case loadFile(path: String)
    case compact
    case skipVersions(count: Int)
    case fail(fault: Fault)
    case clearFaults
    case inject(fault: StreamFault, resource: APIResource?)
    case setCredentials(credentials: Credentials?)
    case refuseConnections
    case acceptConnections
    case closeConnections
    case requests
    case clearRequests
    case watchCount(resource: APIResource?)
    /// The program answers and ends. It ends at the end of its input too.
    case stop
}

/// The line that answers a command.
package struct ServerReply: Codable, Sendable {
    /// The version of the last change.
    package var version: Int
    package var requests: [RequestRecord]?
    package var count: Int?
    /// Why the command has failed; nil if it has not.
    package var error: String?
}

extension TestAPIServer {
    /// Does what a command says. `stop` is the caller's.
    package func perform(_ command: ServerCommand) async -> ServerReply {
        var reply = ServerReply(version: 0)
        do {
            switch command {
            case .set(let json): try set(json: json)
            case .delete(let kind, let namespace, let name):
                if delete(kind: kind, namespace: namespace, name: name) == nil {
                    reply.error = "no such object"
                }
            case .loadFile(let path): try load(file: path)
            case .compact: compact()
            case .skipVersions(let count): skipVersions(count)
            case .fail(let fault): fail(fault)
            case .clearFaults: clearFaults()
            case .inject(let fault, let resource): inject(fault, resource: resource)
            case .setCredentials(let credentials): setCredentials(credentials)
            case .refuseConnections: await refuseConnections()
            case .acceptConnections: try await acceptConnections()
            case .closeConnections: await closeConnections()
            case .requests: reply.requests = requests
            case .clearRequests: clearRequests()
            case .watchCount(let resource): reply.count = watchCount(resource)
            case .stop: break
            }
        } catch {
            reply.error = "\(error)"
        }
        reply.version = version
        return reply
    }
}
