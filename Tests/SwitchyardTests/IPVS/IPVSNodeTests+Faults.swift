import TestSupport
import Testing

extension IPVSNodeTests {
    /// What the kernel refuses `switchyard apply` is named, and the rest is in place and serves.
    @Suite("Faults")
    struct Faults {
        private static let first = Service(name: "first", number: 51, type: "ClusterIP")
        private static let second = Service(name: "second", number: 52, type: "ClusterIP")
        private let node: TrafficNode

        init() throws {
            node = try IPVSNodeTests.node()
            try node.require([Self.first])
        }

        /// Expects that all endpoints of a service are reached.
        private func expectServed(_ service: Service, sourceLocation: SourceLocation = #_sourceLocation) throws {
            for family in Cluster.Family.allCases {
                let answers = try node.lab.ask(from: "pod", .tcp, family.of(service.clusterIPs), 80, count: 6)
                #expect(
                    Set(answers.map(\.server)) == Set(Cluster.all.map { $0 }), "\(family)",
                    sourceLocation: sourceLocation)
            }
        }

        private func errors(_ result: Command.Result) -> [String] {
            result.errors.split(separator: "\n").map(String.init).filter { $0.hasPrefix("switchyard: error") }
        }

        @Test("a scheduler that the kernel does not have")
        func scheduler() throws {
            var shrunk = Self.first
            shrunk.servers = [1, 2]
            let result = try node.apply([shrunk, Self.second], scheduler: "sooner")
            #expect(result.status == 1)
            let errors = errors(result)
            #expect(errors.count == 2, "\(errors)")
            for error in errors {
                #expect(
                    error.contains(
                        ", scheduler sooner: this kernel has no scheduler sooner, the module ip_vs_sooner (No such file or directory); so it is with "
                    ), "\(error)")
            }
            // What there was goes on, with the endpoints that it has now.
            for family in Cluster.Family.allCases {
                let answers = try node.lab.ask(from: "pod", .tcp, family.of(Self.first.clusterIPs), 80, count: 6)
                #expect(Set(answers.map(\.server)) == ["web-1", "web-2"])
            }
            try node.require([Self.first, Self.second])
            try expectServed(Self.first)
            try expectServed(Self.second)
        }

        @Test("an endpoint that the kernel does not take")
        func realServer() throws {
            var faulty = Self.second
            faulty.otherEndpoints = [["224.0.0.1", "ff02::1"]]
            let result = try node.apply([Self.first, faulty])
            #expect(result.status == 1)
            let errors = errors(result)
            #expect(
                errors.contains(
                    "switchyard: error: IPv4: cannot add the real server 224.0.0.1 port 8080 to tcp 172.30.1.52 port 80: "
                        + "the kernel takes no such address or no such option"), "\(errors)")
            #expect(errors.allSatisfy { $0.contains("224.0.0.1 port") || $0.contains("ff02::1 port") }, "\(errors)")
            try expectServed(Self.first)
            try expectServed(faulty)
            try node.require([Self.first, Self.second])
        }

        @Test("a device that may have no address of IPv6")
        func device() throws {
            let setting = "/proc/sys/net/ipv6/conf/kube-ipvs0/disable_ipv6"
            try node.namespace.require(["sh", "-c", "echo 1 >\(setting)"])
            let result = try node.apply([Self.first, Self.second])
            #expect(result.status == 1)
            let errors = errors(result)
            #expect(errors.count == 1)
            #expect(
                errors.first?.contains(
                    "to kube-ipvs0: IPv6 is switched off for the device (the setting disable_ipv6) (Permission denied); so it is with 1 more"
                ) == true, "\(errors)")
            for service in [Self.first, Self.second] {
                let answers = try node.lab.ask(from: "pod", .tcp, service.clusterIPs[0], 80, count: 6)
                #expect(Set(answers.map(\.server)) == Set(Cluster.all.map { $0 }))
            }
            try node.namespace.require(["sh", "-c", "echo 0 >\(setting)"])
            try node.require([Self.first, Self.second])
            try expectServed(Self.second)
        }

        @Test("a cluster IP that another device has")
        func elsewhere() throws {
            try node.namespace.require(["ip", "addr", "add", "\(Self.second.clusterIPs[0])/32", "dev", "lo"])
            defer {
                _ = try? node.namespace.run(["ip", "addr", "del", "\(Self.second.clusterIPs[0])/32", "dev", "lo"])
            }
            let result = try node.apply([Self.first, Self.second])
            #expect(result.status == 0)
            #expect(
                result.errors.contains(
                    "switchyard: warning: IPv4: the cluster IP 172.30.1.52 is an address of the device lo too: "),
                "\(result.errors)")
            #expect(!result.errors.contains("warning: IPv6"))
            try expectServed(Self.first)
            try expectServed(Self.second)
        }
    }
}
