import Glibc

/// A node with hosts around it, each in a network namespace of its own, joined to the node by a veth pair.
///
/// Every packet between two hosts passes the node, as it does between pods. A host is a pod of this node, a pod of
/// another node or a client outside only by its address. Two hosts never share a namespace: a packet that the node
/// sends back to where it came from would be refused there, as it carries an address of the receiver as its source.
///
/// The namespaces go away when `close` is called, or when this process ends in whatever way.
package final class TrafficLab: Sendable {
    package struct Host: Sendable {
        package var name: String
        /// IPv4 and IPv6 addresses; the first of a family is the one that it sends from.
        package var addresses: [String]
        /// The ports that its servers listen on.
        package var tcp: [UInt16]
        package var udp: [UInt16]
        /// TCP ports whose connections stay open.
        package var held: [UInt16]
        /// Networks whose every address it answers for.
        package var networks: [String]

        package init(
            _ name: String, _ addresses: [String], tcp: [UInt16] = [], udp: [UInt16] = [], held: [UInt16] = [],
            networks: [String] = []
        ) {
            self.name = name
            self.addresses = addresses
            self.tcp = tcp
            self.udp = udp
            self.held = held
            self.networks = networks
        }
    }

    private let prefix: String
    private let warden: pid_t
    private let wardenInput: Int32
    private let servers: [pid_t]

    /// Builds the lab; the last host is the node's way to the rest of the world.
    package init(node: Host, hosts: [Host]) throws {
        prefix = "traffic-\(getpid())-\(UInt32.random(in: 0...0xffff))-"
        let names = (hosts + [node]).map { [prefix] in prefix + $0.name }

        // The warden outlives us if need be: when our end of its pipe closes, it ends what runs in the namespaces
        // and deletes them.
        let pipe = try Command.pipe()
        wardenInput = pipe.writing
        let script = """
            trap '' INT TERM HUP
            cat >/dev/null
            for name; do
                for pid in $(ip netns pids "$name"); do kill -KILL "$pid"; done
                ip netns del "$name"
            done 2>/dev/null
            """
        defer { Glibc.close(pipe.reading) }
        warden = try Command.start(
            ["sh", "-c", script, "warden"] + names, descriptors: [pipe.reading, -1, -1])

        var servers: [pid_t] = []
        do {
            try Self.join(prefix: prefix, node: node, hosts: hosts)
            for host in hosts + [node] where !(host.tcp + host.udp + host.held).isEmpty {
                servers.append(try Self.serve(host, in: prefix + host.name))
            }
        } catch {
            Glibc.close(wardenInput)
            Command.wait(for: warden)
            servers.forEach { Command.wait(for: $0) }
            throw error
        }
        self.servers = servers
    }

    /// Deletes the namespaces and everything that runs in them. To be called once.
    package func close() {
        Glibc.close(wardenInput)
        for pid in [warden] + servers {
            Command.wait(for: pid)
        }
    }

    /// The words that run a program inside a host, or the node.
    package func inside(_ host: String, _ arguments: [String]) -> [String] {
        ["ip", "netns", "exec", prefix + host] + arguments
    }

    /// The namespace of a host, or the node. It goes away with the lab.
    package func namespace(of host: String) -> Namespace { Namespace(ofAnother: prefix + host) }

    private static func join(prefix: String, node: Host, hosts: [Host]) throws {
        let nodeName = prefix + node.name
        for name in hosts.map({ prefix + $0.name }) + [nodeName] {
            try Command.require(["ip", "netns", "add", name])
            try Command.require(["ip", "netns", "exec", name, "sh", "-c", settings(forwarding: name == nodeName)])
        }
        var onNode = ["link set lo up"]
        for host in hosts {
            let name = prefix + host.name
            try Command.require([
                "ip", "-n", nodeName, "link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", name,
            ])
            // The node's own addresses are on its way out only: masquerading picks an address of the interface that
            // it sends through, and where there is none, one of another interface.
            onNode += ["link set \(host.name) up", "addr add fe80::1/64 dev \(host.name) nodad"]
            onNode += host.addresses.map { "route add \($0) dev \(host.name)" }

            var onHost = ["link set lo up", "link set eth0 up"]
            onHost += host.addresses.map { address($0, "eth0") }
            onHost += host.networks.map { "route add local \($0) dev lo" }
            onHost += node.addresses.map { isIPv6($0) ? "fe80::1" : $0 }.map {
                "route add default via \($0) dev eth0 onlink"
            }
            try Command.require(["ip", "-n", name, "-batch", "-"], input: lines(onHost))
        }
        if let exit = hosts.last {
            onNode += node.addresses.map { address($0, exit.name) }
            for version in [isIPv6, { !isIPv6($0) }] {
                guard let gateway = exit.addresses.first(where: version), node.addresses.contains(where: version) else {
                    continue
                }
                onNode.append("route add default via \(gateway) dev \(exit.name) onlink")
            }
        }
        try Command.require(["ip", "-n", nodeName, "-batch", "-"], input: lines(onNode))
    }

    /// Settings of a new namespace, none of which reach outside it.
    ///
    /// Some are inherited from the machine, so the ones that matter are all set. ICMP answers are not limited in
    /// number, or a test that asks often would wait for some of them.
    private static func settings(forwarding: Bool) -> String {
        let values = [
            "ipv4/ip_forward": forwarding ? 1 : 0,
            "ipv4/icmp_ratelimit": 0,
            "ipv4/conf/all/rp_filter": 0,
            "ipv4/conf/default/rp_filter": 0,
            "ipv6/conf/all/disable_ipv6": 0,
            "ipv6/conf/default/disable_ipv6": 0,
            "ipv6/conf/default/accept_dad": 0,
            "ipv6/conf/all/forwarding": forwarding ? 1 : 0,
            "ipv6/icmp/ratelimit": 0,
        ]
        return "set -e\n" + lines(values.map { "echo \($0.value) >/proc/sys/net/\($0.key)" })
    }

    /// Starts the servers of a host and waits until they listen.
    private static func serve(_ host: Host, in namespace: String) throws -> pid_t {
        let pipe = try Command.pipe()
        defer { Glibc.close(pipe.reading) }
        let ports = [("--tcp", host.tcp), ("--udp", host.udp), ("--hold", host.held)].flatMap { option, ports in
            ports.flatMap { [option, String($0)] }
        }
        let pid = try Command.start(
            ["ip", "netns", "exec", namespace, BuiltProducts.trafficPeer, "serve", "--name", host.name] + ports,
            descriptors: [-1, pipe.writing, -1])
        Glibc.close(pipe.writing)
        var byte: UInt8 = 0
        guard read(pipe.reading, &byte, 1) == 1 else {
            Command.wait(for: pid)
            throw CommandFailure("the servers of \(host.name) did not start")
        }
        return pid
    }

    private static func isIPv6(_ address: String) -> Bool { address.contains(":") }

    private static func address(_ address: String, _ device: String) -> String {
        "addr add \(address)/\(isIPv6(address) ? "128 nodad" : "32") dev \(device)"
    }

    private static func lines(_ lines: [String]) -> String {
        lines.joined(separator: "\n") + "\n"
    }
}
