import ProxyCore

/// The fields of a Service that are read, as the API spells them.
package struct WireService: Decodable, Sendable {
    package struct Port: Decodable, Sendable {
        package var name: String?
        package var `protocol`: String?
        package var port: WireNumber?
        package var nodePort: WireNumber?

        package init() {}
    }

    package struct SessionAffinityConfig: Decodable, Sendable {
        package struct ClientIP: Decodable, Sendable {
            package var timeoutSeconds: Lenient<Int> = .missing

            package init() {}
        }

        package var clientIP: Lenient<ClientIP> = .missing

        package init() {}
    }

    package struct Spec: Decodable, Sendable {
        package var type: Lenient<String> = .missing
        package var clusterIP: Lenient<String> = .missing
        package var clusterIPs: Lenient<[Lenient<String>]> = .missing
        package var ipFamilies: Lenient<[Lenient<String>]> = .missing
        package var ports: Lenient<[Lenient<Port>]> = .missing
        package var externalIPs: Lenient<[Lenient<String>]> = .missing
        package var loadBalancerSourceRanges: Lenient<[Lenient<String>]> = .missing
        package var externalTrafficPolicy: Lenient<String> = .missing
        package var internalTrafficPolicy: Lenient<String> = .missing
        package var healthCheckNodePort: Lenient<Int> = .missing
        package var sessionAffinity: Lenient<String> = .missing
        package var sessionAffinityConfig: Lenient<SessionAffinityConfig> = .missing

        package init() {}
    }

    package struct Status: Decodable, Sendable {
        package struct Ingress: Decodable, Sendable {
            package var ip: String?
            package var ipMode: String?

            package init() {}
        }

        package struct LoadBalancer: Decodable, Sendable {
            package var ingress: Lenient<[Lenient<Ingress>]> = .missing

            package init() {}
        }

        package var loadBalancer: Lenient<LoadBalancer> = .missing

        package init() {}
    }

    package var metadata: Lenient<WireMetadata> = .missing
    package var spec: Lenient<Spec> = .missing
    package var status: Lenient<Status> = .missing

    package init() {}
}
