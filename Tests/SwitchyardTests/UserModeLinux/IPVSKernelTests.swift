import TestSupport
import Testing

/// That user-mode Linux has what ipvs mode needs, and that namespaces work in it as they do outside.
@Suite("The kernel of user-mode Linux", .insideUserModeLinux)
struct IPVSKernelTests {
    @Test("takes a virtual server with each scheduler")
    func schedulers() throws {
        let namespace = try Namespace()
        let schedulers = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh"]
        let servers = schedulers.enumerated().map { "-A -t 192.0.2.1:\(80 + $0) -s \($1)" }
        try namespace.require(["ipvsadm", "--restore"], input: servers.joined(separator: "\n") + "\n")
        let found = try namespace.require(["ipvsadm", "--save", "--numeric"])
        #expect(found.split(separator: "\n").map(String.init) == servers)
        // Nothing of it is in another namespace.
        #expect(try Namespace().require(["ipvsadm", "--save", "--numeric"]) == "")
        #expect(try namespace.run(["ipvsadm", "-A", "-t", "192.0.2.2:80", "-s", "unheard-of"]).status != 0)
    }

    @Test("spreads connections over real servers in other namespaces")
    func traffic() throws {
        func host(_ name: String, _ number: Int, port: UInt16? = nil) -> TrafficLab.Host {
            let ports = port.map { [$0] } ?? []
            return .init(name, ["10.180.1.\(number)", "fd00:10:180:1::\(number)"], tcp: ports, udp: ports)
        }
        let pods = [host("pod-1", 1, port: 8080), host("pod-2", 2, port: 8080)]
        let lab = try TrafficLab(
            node: .init("node", ["192.168.0.2", "2001:db8::2"]), hosts: pods + [host("client", 9)])
        defer { lab.close() }
        let node = lab.namespace(of: "node")
        let addresses = ["172.30.1.1", "fd00:10:96::1"]
        let devices = ["link add kube-ipvs0 type dummy"] + addresses.map { "addr add \($0) dev kube-ipvs0" }
        try node.require(["ip", "-batch", "-"], input: devices.joined(separator: "\n") + "\n")
        func endpoint(_ address: String, _ port: Int) -> String {
            address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
        }
        var servers: [String] = []
        for (number, address) in addresses.enumerated() {
            for option in ["-t", "-u"] {
                let server = "\(option) \(endpoint(address, 80))"
                servers.append("-A \(server) -s rr")
                servers += pods.map { "-a \(server) -r \(endpoint($0.addresses[number], 8080)) -m" }
            }
        }
        let refusals = try node.run(["ipvsadm", "--restore"], input: servers.joined(separator: "\n") + "\n").errors
        #expect(refusals == "")
        for address in addresses {
            for transport in TrafficLab.Transport.allCases {
                let answers = try lab.ask(from: "client", transport, address, 80, count: 6)
                let counts = Dictionary(grouping: answers, by: \.server).mapValues(\.count)
                #expect(counts == ["pod-1": 3, "pod-2": 3], "\(transport) \(address): \(answers)")
            }
        }
    }
}
