import ProxyCore

/// The fields of an EndpointSlice that are read, as the API spells them.
package struct WireEndpointSlice: Decodable, Sendable {
    struct Port: Decodable, Sendable {
        var name: String?
        var `protocol`: String?
        var port: WireNumber?
    }

    struct Endpoint: Decodable, Sendable {
        struct Conditions: Decodable, Sendable {
            var ready: Bool?
            var serving: Bool?
            var terminating: Bool?
        }

        struct Hints: Decodable, Sendable {
            struct Hint: Decodable, Sendable {
                var name: String?
            }

            var forZones: [Hint]?
            var forNodes: [Hint]?
        }

        var addresses: [String]?
        var conditions: Conditions?
        var nodeName: String?
        var hints: Hints?
    }

    var metadata: Lenient<WireMetadata> = .missing
    var addressType: Lenient<String> = .missing
    var ports: Lenient<[Lenient<Port>]> = .missing
    var endpoints: Lenient<[Lenient<Endpoint>]> = .missing
}
