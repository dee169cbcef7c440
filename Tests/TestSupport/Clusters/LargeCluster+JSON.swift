package import ProxyCore

/// Objects of a large cluster as an API server gives them, each on one line.
extension LargeCluster {
    package static func json(_ service: Service) -> String {
        let name = service.name
        let addresses = service.clusterIPs.map { "\"\($0)\"" }.joined(separator: ",")
        let families = service.clusterIPs.map { "\"\($0.family.rawValue)\"" }.joined(separator: ",")
        let ports = service.ports.map { port in
            """
            {"name":"\(port.name)","port":\(port.number),"protocol":"\(port.protocol.rawValue)","targetPort":8080}
            """
        }
        return """
            {"apiVersion":"v1","kind":"Service","metadata":{"name":"\(name.name)","namespace":"\(name.namespace)",\
            "labels":{"app":"\(name.name)"}},"spec":{"type":"ClusterIP","clusterIP":"\(service.clusterIPs[0])",\
            "clusterIPs":[\(addresses)],"ipFamilies":[\(families)],"ipFamilyPolicy":"SingleStack",\
            "internalTrafficPolicy":"Cluster","sessionAffinity":"None","selector":{"app":"\(name.name)"},\
            "ports":[\(ports.joined(separator: ","))]}}
            """
    }

    package static func json(_ slice: EndpointSlice) -> String {
        let name = slice.name
        let endpoints = slice.endpoints.map { endpoint in
            """
            {"addresses":["\(endpoint.address)"],"conditions":{"ready":true,"serving":true,"terminating":false},\
            "nodeName":"\(endpoint.nodeName)","zone":"zone-a","targetRef":{"kind":"Pod",\
            "namespace":"\(name.namespace)","name":"\(name.name)-\(endpoint.nodeName)"}}
            """
        }
        let ports = slice.ports.map { port in
            """
            {"name":"\(port.name)","port":\(port.number),"protocol":"\(port.protocol.rawValue)"}
            """
        }
        return """
            {"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"\(slice.family.rawValue)",\
            "metadata":{"name":"\(name.name)","namespace":"\(name.namespace)","labels":\
            {"kubernetes.io/service-name":"\(slice.service.name)"}},"endpoints":[\(endpoints.joined(separator: ","))],\
            "ports":[\(ports.joined(separator: ","))]}
            """
    }
}
