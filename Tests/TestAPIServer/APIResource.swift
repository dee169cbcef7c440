/// The kinds of objects that a service proxy asks for.
package enum APIResource: String, CaseIterable, Codable, Sendable {
    case services, endpointslices, nodes, servicecidrs

    package var kind: String {
        switch self {
        case .services: "Service"
        case .endpointslices: "EndpointSlice"
        case .nodes: "Node"
        case .servicecidrs: "ServiceCIDR"
        }
    }

    /// The group of the API; empty for the core.
    package var group: String {
        switch self {
        case .services, .nodes: ""
        case .endpointslices: "discovery.k8s.io"
        case .servicecidrs: "networking.k8s.io"
        }
    }

    package var apiVersion: String { group.isEmpty ? "v1" : "\(group)/v1" }

    /// Where the collection is, such as `/api/v1/services`.
    package var path: String { group.isEmpty ? "/api/v1/\(rawValue)" : "/apis/\(apiVersion)/\(rawValue)" }

    package init?(kind: String) {
        guard let resource = Self.allCases.first(where: { $0.kind == kind }) else { return nil }
        self = resource
    }

    package init?(path: String) {
        guard let resource = Self.allCases.first(where: { $0.path == path }) else { return nil }
        self = resource
    }

    /// The fields that a bookmark's object has besides its metadata: a server fills in an empty Go value.
    var emptyObject: JSONValue {
        switch self {
        case .services: ["spec": [:], "status": ["loadBalancer": [:]]]
        case .endpointslices: ["addressType": "", "endpoints": nil, "ports": nil]
        case .servicecidrs: ["spec": [:], "status": [:]]
        case .nodes:
            [
                "spec": [:],
                "status": [
                    "daemonEndpoints": ["kubeletEndpoint": ["Port": 0]],
                    "nodeInfo": [
                        "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "",
                        "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "",
                        "operatingSystem": "", "architecture": "",
                    ],
                ],
            ]
        }
    }
}
