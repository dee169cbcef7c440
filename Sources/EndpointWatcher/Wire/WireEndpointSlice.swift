import ProxyCore

/// The fields of an EndpointSlice that are read, as the API spells them.
package struct WireEndpointSlice: Decodable, Sendable {
    package struct Port: Decodable, Sendable {
        package var name: String?
        package var `protocol`: String?
        package var port: WireNumber?

        package init() {}
    }

    package struct Endpoint: Decodable, Sendable {
        package struct Conditions: Decodable, Sendable {
            package var ready: Bool?
            package var serving: Bool?
            package var terminating: Bool?

            package init() {}
        }

        package struct Hints: Decodable, Sendable {
            package struct Hint: Decodable, Sendable {
                package var name: String?

                package init() {}
            }

            package var forZones: [Hint]?
            package var forNodes: [Hint]?

            package init() {}
        }

        package var addresses: [String]?
        package var conditions: Conditions?
        package var nodeName: String?
        package var hints: Hints?

        package init() {}
    }

    package var metadata: Lenient<WireMetadata> = .missing
    package var addressType: Lenient<String> = .missing
    package var ports: Lenient<[Lenient<Port>]> = .missing
    package var endpoints: Lenient<[Lenient<Endpoint>]> = .missing

    package init() {}
}
