import Foundation
import ProxyCore
import Testing

@testable import EndpointWatcher

func read(_ text: String, isStrict: Bool = false) throws -> Manifests {
    try ManifestReader.read([UInt8](text.utf8), name: "input.yaml", isStrict: isStrict)
}

private func service(_ name: String, _ spec: String, _ rest: String = "") -> String {
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: \(name)}\nspec: {\(spec)}\n\(rest)\n"
}

private func slice(_ labels: String, _ rest: String) -> String {
    """
    ---
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata: {name: web-a, namespace: ns, labels: {\(labels)}}
    \(rest)

    """
}

@Suite("ManifestReader")
struct ManifestReaderTests {
    private let json = """
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "ns"}, "spec": {
          "type": "LoadBalancer", "clusterIP": "172.30.0.041", "clusterIPs": ["172.30.0.041", "fd00::1"],
          "ipFamilies": ["IPv4", "IPv6"], "sessionAffinity": "ClientIP",
          "ports": [{"name": "http", "port": 80, "nodePort": 30080, "targetPort": "web"}, {"name": "dns", "port": 53, "protocol": "UDP"}],
          "externalIPs": ["1.2.3.4", ""], "loadBalancerSourceRanges": [" 10.1.0.0/8 "], "externalTrafficPolicy": "Local",
          "healthCheckNodePort": 30500},
         "status": {"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}, {"hostname": "x"}, {"ip": "5.6.7.9", "ipMode": "Proxy"}]}}}
        """
    private let yaml = """
        kind: Service
        apiVersion: v1
        metadata: {namespace: ns, name: web}
        spec:
          type: LoadBalancer
          clusterIP: 172.30.0.041
          clusterIPs: [172.30.0.041, 'fd00::1']
          ipFamilies: [IPv4, IPv6]
          sessionAffinity: ClientIP
          ports:
          - &port {name: http, port: 80, nodePort: 30080, targetPort: web}
          - {<<: *port, name: dns, port: 0x35, protocol: UDP, nodePort: ~}
          externalIPs: ["1.2.3.4", ""]
          loadBalancerSourceRanges: [" 10.1.0.0/8 "]
          externalTrafficPolicy: Local
          healthCheckNodePort: 30500
        status:
          loadBalancer:
            ingress: [{ip: 5.6.7.8}, {hostname: x}, {ip: 5.6.7.9, ipMode: Proxy}]
        """

    @Test("reads every field of a Service")
    func serviceFields() throws {
        let found = try read(json)
        var expected = Service(name: try #require(ObjectName(namespace: "ns", name: "web")))
        expected.kind = .loadBalancer
        expected.clusterIPs = ["172.30.0.41", "fd00::1"].compactMap { IPAddress($0) }
        expected.ports = [
            Service.Port(name: "http", protocol: .tcp, number: 80, nodePort: 30080),
            Service.Port(name: "dns", protocol: .udp, number: 53),
        ]
        expected.externalIPs = ["1.2.3.4"].compactMap { IPAddress($0) }
        expected.loadBalancerIPs = ["5.6.7.8"].compactMap { IPAddress($0) }
        expected.loadBalancerSourceRanges = ["10.0.0.0/8"].compactMap { CIDR($0) }
        expected.externalTrafficPolicy = .local
        expected.healthCheckNodePort = 30500
        expected.affinitySeconds = 10_800
        #expect(found.changes == [.service(expected)])
        #expect(found.diagnostics.isEmpty)
    }

    @Test("reads the same from YAML as from JSON, in lists and in typed lists")
    func spellings() throws {
        let expected = try read(json).changes
        #expect(try read(yaml).changes == expected)
        #expect(try read(#"{"kind": "List", "apiVersion": "v1", "items": [\#n"# + json + "\n]}").changes == expected)
        #expect(try read(#"{"items": [\#n"# + json + "\n], \"kind\": \"ServiceList\"}").changes == expected)
        let indented = yaml.split(separator: "\n").map { "  \($0)" }.joined(separator: "\n")
        #expect(try read("kind: List\nitems:\n-\n\(indented)\n").changes == expected)
        #expect(try read("\u{feff}%YAML 1.1\n---\r\n\(yaml)\n...\n").changes == expected)
    }

    @Test("reads the same set of objects in any order of documents")
    func order() throws {
        let documents = (0..<6).map { service("s\($0)", "clusterIP: 10.0.0.\($0)") }
        let forward = try read(documents.joined())
        #expect(forward.services.count == 6)
        #expect(Set(try read(documents.reversed().joined()).changes) == Set(forward.changes))
    }

    @Test("takes cluster IPs by family, and none for a headless Service")
    func clusterIPs() throws {
        let specs: [(String, [String])] = [
            ("clusterIP: 'fd00::1'", ["fd00::1"]), ("clusterIP: None", []), ("clusterIP: ''", []), ("", []),
            ("clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1']", ["10.0.0.1"]),
            ("ipFamilies: [IPv4], clusterIP: 10.0.0.1", ["10.0.0.1"]),
            ("ipFamilies: [IPv6, IPv4], clusterIPs: ['fd00::1', 10.0.0.1]", ["fd00::1", "10.0.0.1"]),
            ("ipFamilies: [IPv4, IPv6], clusterIP: 10.0.0.1", []),
            ("ipFamilies: [IPv4], clusterIPs: [None]", []),
        ]
        for (spec, expected) in specs {
            let found = try read(service("web", spec))
            #expect(found.services.first?.clusterIPs.map(\.description) == expected, "\(spec)")
            #expect(found.diagnostics.isEmpty, "\(spec)")
        }
    }

    @Test("counts an external policy only where a Service can be reached from outside")
    func externalPolicy() throws {
        let local = "clusterIP: 10.0.0.1, externalTrafficPolicy: Local, healthCheckNodePort: 30500"
        func read(_ spec: String) throws -> Service {
            try #require(try EndpointWatcherTests.read(service("web", spec)).services.first)
        }
        #expect(try read(local).externalTrafficPolicy == .cluster)
        #expect(try read(local + ", externalIPs: [1.2.3.4]").externalTrafficPolicy == .local)
        #expect(try read(local + ", type: NodePort").externalTrafficPolicy == .local)
        #expect(try read(local + ", type: NodePort").healthCheckNodePort == 0)
        #expect(try read(local + ", type: LoadBalancer").healthCheckNodePort == 30500)
        #expect(try read("type: LoadBalancer, healthCheckNodePort: 30500").healthCheckNodePort == 0)
    }

    @Test("leaves a Service to another proxy if the label is there")
    func otherProxy() throws {
        let text = """
            {"apiVersion": "v1", "kind": "Service",
             "metadata": {"name": "a", "labels": {"service.kubernetes.io/service-proxy-name": ""}}}
            """
        #expect(try read(text).services.first?.isForAnotherProxy == true)
        #expect(try read(service("web", "")).services.first?.isForAnotherProxy == false)
    }

    @Test("never opens a Service to everyone because its source ranges are faulty")
    func sourceRanges() throws {
        func addresses(_ ranges: String) throws -> [String] {
            let text = service(
                "web", "type: LoadBalancer, clusterIP: 10.0.0.1, loadBalancerSourceRanges: \(ranges)",
                "status: {loadBalancer: {ingress: [{ip: 1.2.3.4}, {ip: 'fd00::1'}]}}")
            return try #require(try read(text).services.first).loadBalancerIPs.map(\.description)
        }
        #expect(try addresses("[10.0.0.0/33]") == ["fd00::1"])
        #expect(try addresses("['fd00::/129', 10.0.0.0/8]") == ["1.2.3.4"])
        #expect(try addresses("[x]") == [])
        #expect(try addresses("x") == [])
        #expect(try addresses("[10.0.0.0/8, 10.0.0.0/33]") == ["1.2.3.4", "fd00::1"])
        #expect(try addresses("['', 10.0.0.0/8]") == ["1.2.3.4", "fd00::1"])
        #expect(try addresses("[]") == ["1.2.3.4", "fd00::1"])
    }

    @Test("reads every field of an EndpointSlice")
    func sliceFields() throws {
        let text = slice(
            "kubernetes.io/service-name: web",
            """
            addressType: IPv4
            ports: [{name: "", port: 8080, protocol: TCP}, {port: 1}, {name: x}, {name: z, port: 0}]
            endpoints:
            - addresses: [10.0.0.01, 10.0.0.2]
              nodeName: a-node-with-a-long-name
              conditions: {ready: false, terminating: true}
              hints: {forZones: [{name: a}, {name: b}], forNodes: [{name: m}]}
            - {addresses: [10.0.0.3], conditions: {ready: ~, serving: ~}, nodeName: ~, hints: ~}
            """)
        let found = try read(text)
        #expect(found.diagnostics.isEmpty)
        let name = try #require(ObjectName(namespace: "ns", name: "web-a"))
        let service = try #require(ObjectName(namespace: "ns", name: "web"))
        var expected = EndpointSlice(name: name, service: service, family: .ipv4)
        expected.ports = [EndpointSlice.Port(name: "", protocol: .tcp, number: 8080)]
        expected.endpoints = [
            EndpointSlice.Endpoint(
                address: IPAddress(ipv4: 0x0a00_0001), nodeName: "a-node-with-a-long-name",
                conditions: [.serving, .terminating], zoneHints: ["a", "b"], nodeHints: ["m"]),
            EndpointSlice.Endpoint(address: IPAddress(ipv4: 0x0a00_0003)),
        ]
        #expect(found.changes == [.endpointSlice(expected)])
    }

    @Test(
        "ignores slices that no proxy reads",
        arguments: [
            ("kubernetes.io/service-name: web", "addressType: FQDN\nendpoints: [{addresses: [example.com]}]"),
            ("", "addressType: IPv4"),
            ("kubernetes.io/service-name: web, service.kubernetes.io/headless: ''", "addressType: IPv4"),
        ])
    func ignoredSlices(_ labels: String, _ rest: String) throws {
        let found = try read(slice(labels, rest))
        #expect(found.changes.isEmpty)
        #expect(found.diagnostics.isEmpty)
    }

    @Test("bears ten thousand endpoints, names of full length and the same endpoint in two slices")
    func large() throws {
        let long = String(repeating: "a", count: 63)
        let endpoints = (0..<10_000).map { "{\"addresses\": [\"10.0.\($0 / 250).\($0 % 250)\"]}" }
        func slice(_ name: String) -> String {
            """
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "\(name)", "namespace":
             "\(long)", "labels": {"kubernetes.io/service-name": "\(long)"}}, "addressType": "IPv4",
             "ports": [{"name": "\(long)", "port": 1, "protocol": "TCP"}], "endpoints": [\(endpoints.joined(separator: ","))]}

            """
        }
        let found = try read(slice("a") + "---\n" + slice(String(repeating: "b", count: 253)))
        #expect(found.diagnostics.isEmpty)
        #expect(found.endpointSlices.map(\.endpoints.count) == [10_000, 10_000])
    }

    @Test("reads Nodes and ServiceCIDRs")
    func nodes() throws {
        let found = try read(
            """
            apiVersion: v1
            kind: Node
            metadata: {name: node1, labels: {topology.kubernetes.io/zone: a}}
            spec: {podCIDR: 10.0.0.0/24, podCIDRs: [10.0.0.0/24, "fd00::/64"]}
            status: {addresses: [{type: Hostname, address: x}, {type: InternalIP, address: 1.1.1.1}, {type: ExternalIP, address: "fd::1"}]}
            ---
            apiVersion: networking.k8s.io/v1beta1
            kind: ServiceCIDR
            metadata: {name: kubernetes}
            spec: {cidrs: [10.96.0.0/12]}
            """)
        var node = Node(name: "node1")
        node.zone = "a"
        node.podCIDRs = ["10.0.0.0/24", "fd00::/64"].compactMap { CIDR($0) }
        node.internalIPs = ["1.1.1.1"].compactMap { IPAddress($0) }
        node.externalIPs = ["fd::1"].compactMap { IPAddress($0) }
        #expect(found.nodes == [node])
        #expect(
            found.serviceCIDRs == [ServiceCIDR(name: "kubernetes", cidrs: ["10.96.0.0/12"].compactMap { CIDR($0) })])
        #expect(found.diagnostics.isEmpty)
    }

    @Test("keeps what is sound beside a fault, and under strict refuses it")
    func strict() throws {
        let text =
            service("web", "clusterIP: 10.0.0.1, ports: [{port: 80}, {name: b, port: 0}]") + "---\nkind: ConfigMap\n"
        let found = try read(text)
        #expect(found.services.first?.ports.map(\.number) == [80])
        #expect(found.diagnostics.map(\.severity) == [.warning, .note])
        #expect {
            try read(text, isStrict: true)
        } throws: { error in
            (error as? InputError)?.diagnostics == Array(found.diagnostics.prefix(1))
        }
        #expect(try read("kind: ConfigMap\n", isStrict: true).diagnostics.count == 1)
    }

    @Test("takes the later of two objects with the same name")
    func twice() throws {
        let text = service("web", "clusterIP: 10.0.0.1") + service("web", "clusterIP: 10.0.0.2")
        let found = try read(text)
        #expect(found.services.flatMap(\.clusterIPs).map(\.description) == ["10.0.0.2"])
        #expect(found.diagnostics.map(\.severity) == [.note])
    }

    @Test("keeps one copy of a long name")
    func pool() {
        var pool = StringPool()
        let first = pool.intern(String(repeating: "a", count: 20))
        #expect(pool.intern(String(repeating: "a", count: 20)) == first)
        #expect(pool.intern("short") == "short")
    }
}
