import ProxyCore

/// The fields of a Service that are read, as the API spells them.
package struct WireService: Decodable, Sendable {
    struct Port: Decodable, Sendable {
        var name: String?
        var `protocol`: String?
        var port: WireNumber?
        var nodePort: WireNumber?
    }

    struct SessionAffinityConfig: Decodable, Sendable {
        struct ClientIP: Decodable, Sendable {
            var timeoutSeconds: Lenient<Int> = .missing
        }

        var clientIP: Lenient<ClientIP> = .missing
    }

    struct Spec: Decodable, Sendable {
        var type: Lenient<String> = .missing
        var clusterIP: Lenient<String> = .missing
        var clusterIPs: Lenient<[Lenient<String>]> = .missing
        var ipFamilies: Lenient<[Lenient<String>]> = .missing
        var ports: Lenient<[Lenient<Port>]> = .missing
        var externalIPs: Lenient<[Lenient<String>]> = .missing
        var loadBalancerSourceRanges: Lenient<[Lenient<String>]> = .missing
        var externalTrafficPolicy: Lenient<String> = .missing
        var internalTrafficPolicy: Lenient<String> = .missing
        var healthCheckNodePort: Lenient<Int> = .missing
        var sessionAffinity: Lenient<String> = .missing
        var sessionAffinityConfig: Lenient<SessionAffinityConfig> = .missing
    }

    struct Status: Decodable, Sendable {
        struct Ingress: Decodable, Sendable {
            var ip: String?
            var ipMode: String?
        }

        struct LoadBalancer: Decodable, Sendable {
            var ingress: Lenient<[Lenient<Ingress>]> = .missing
        }

        var loadBalancer: Lenient<LoadBalancer> = .missing
    }

    var metadata: Lenient<WireMetadata> = .missing
    var spec: Lenient<Spec> = .missing
    var status: Lenient<Status> = .missing
}
