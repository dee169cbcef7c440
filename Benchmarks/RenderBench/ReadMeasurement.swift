import BenchSupport
import EndpointWatcher
import Foundation
import ProxyCore
import TestSupport

/// Reading manifests of one size of cluster, ten endpoints a service.
struct ReadMeasurement {
    static let header = """
        manifests, 10 endpoints a service: a file with one document for each Service and EndpointSlice
          services  format  file, MB   read, s         x  peak, MB
        """

    let cluster: LargeCluster
    let isYAML: Bool

    init(services: Int, isYAML: Bool) {
        cluster = LargeCluster(services: services, endpointsEach: 10)
        self.isYAML = isYAML
    }

    func run() {
        let path = NSTemporaryDirectory() + "switchyard-bench-\(getpid())"
        defer { unlink(path) }
        let size = write(path)
        var count = 0
        let time = milliseconds {
            do { count = try ManifestReader.read(paths: [path]).changes.count } catch { print(error) }
        }
        precondition(count == 2 * cluster.services, "not everything was read")
        let peak = peakMegabytes()
        let copy = copyTime([UInt8](repeating: 32, count: size))
        print(
            column(Double(cluster.services), 0), isYAML ? "    yaml" : "    json", column(Double(size) / 1e6, 1),
            column(time / 1e3, 2), column(time / copy, 0), column(peak, 0), separator: "")
    }

    /// Writes the file piece by piece, so that its text is not counted as memory of reading it.
    private func write(_ path: String) -> Int {
        guard let file = fopen(path, "w") else { return 0 }
        defer { fclose(file) }
        var size = 0
        for index in 0..<cluster.services {
            for text in [service(cluster.service(index)), slice(cluster.slice(index))] {
                let text = "---\n" + text
                fputs(text, file)
                size += text.utf8.count
            }
        }
        return size
    }

    private func service(_ service: Service) -> String {
        let (name, address) = (service.name, service.clusterIPs[0])
        guard isYAML else { return LargeCluster.json(service) + "\n" }
        return """
            apiVersion: v1
            kind: Service
            metadata:
              name: \(name.name)
              namespace: \(name.namespace)
              labels:
                app: \(name.name)
            spec:
              type: ClusterIP
              clusterIP: \(address)
              clusterIPs:
              - \(address)
              ipFamilies:
              - IPv4
              ipFamilyPolicy: SingleStack
              internalTrafficPolicy: Cluster
              sessionAffinity: None
              selector:
                app: \(name.name)
              ports:
              - name: http
                port: 80
                protocol: TCP
                targetPort: 8080

            """
    }

    private func slice(_ slice: EndpointSlice) -> String {
        let name = slice.name
        guard isYAML else { return LargeCluster.json(slice) + "\n" }
        let endpoints = slice.endpoints.map { endpoint in
            """
            - addresses:
              - \(endpoint.address)
              conditions:
                ready: true
                serving: true
                terminating: false
              nodeName: \(endpoint.nodeName)
              zone: zone-a
              targetRef:
                kind: Pod
                namespace: \(name.namespace)
                name: \(name.name)-\(endpoint.nodeName)

            """
        }
        return """
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            addressType: IPv4
            metadata:
              name: \(name.name)
              namespace: \(name.namespace)
              labels:
                kubernetes.io/service-name: \(slice.service.name)
            endpoints:
            \(endpoints.joined())ports:
            - name: http
              port: 8080
              protocol: TCP

            """
    }
}
