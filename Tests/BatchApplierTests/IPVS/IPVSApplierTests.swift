import TestSupport
import Testing

/// Against a kernel with IPVS, as ipvsadm shows it.
@Suite("Virtual servers and their device, by netlink", .insideUserModeLinux, .serialized)
struct IPVSApplierTests {
    @Test("servers are added with their options, and each change that fails is named")
    func addition() throws {
        let node = try IPVSNode()
        let failures = try node.peer(
            """
            server-add tcp 10.0.0.1 80 rr
            server-add tcp 10.0.0.1 80 rr
            server-add udp 10.0.0.1 53 mh 10800
            server-add sctp 10.0.0.1 99 sh
            server-add tcp fd00::1 80 wrr 60
            server-add tcp 10.0.0.2 80 nonsense
            real-add tcp 10.0.0.1 80 10.1.0.1 8080 1
            real-add tcp 10.0.0.1 80 10.1.0.1 8080 1
            real-add tcp 10.0.0.9 80 10.1.0.2 8080 5
            real-add tcp fd00::1 80 fd01::1 8080 1
            real-add udp 10.0.0.1 53 10.1.0.3 53 7
            commit
            timeouts 900 100 0
            """)
        #expect(
            failures == [
                "1 refused: cannot add the virtual server tcp 10.0.0.1 port 80, scheduler rr: it is there already",
                "5 unsupported: cannot add the virtual server tcp 10.0.0.2 port 80, scheduler nonsense: this kernel has no scheduler nonsense, the module ip_vs_nonsense (No such file or directory)",
                "7 refused: cannot add the real server 10.1.0.1 port 8080 to tcp 10.0.0.1 port 80: it is there already",
                "8 refused: cannot add the real server 10.1.0.2 port 8080 to tcp 10.0.0.9 port 80: there is no such virtual server",
            ])
        #expect(
            try node.run("ipvsadm", "-S", "-n").sorted() == [
                "-A --sctp-service 10.0.0.1:99 -s sh", "-A -t 10.0.0.1:80 -s rr", "-A -t [fd00::1]:80 -s wrr -p 60",
                "-A -u 10.0.0.1:53 -s mh -p 10800 -b mh-port", "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1",
                "-a -t [fd00::1]:80 -r [fd01::1]:8080 -m -w 1", "-a -u 10.0.0.1:53 -r 10.1.0.3:53 -m -w 7",
            ])
        #expect(try node.run("ipvsadm", "-L", "--timeout") == ["Timeout (tcp tcpfin udp): 900 100 300"])
    }

    private static let servers = """
        -A -t 10.0.0.1:80 -s rr -p 100
        -a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1
        -a -t 10.0.0.1:80 -r 10.1.0.2:8080 -m -w 1
        -A -u 10.0.0.1:53 -s mh -b mh-port
        -A -t [fd00::1]:80 -s wrr
        -a -t [fd00::1]:80 -r [fd01::1]:8080 -m -w 1
        -A -t 9.9.9.9:90 -s sh -b sh-fallback,sh-port
        -a -t 9.9.9.9:90 -r 10.9.9.9:90 -g -w 3
        -A -f 7 -s rr
        -a -f 7 -r 10.9.9.9:0 -m -w 1

        """

    @Test("servers of others are listed as they are, but those of a mark")
    func listing() throws {
        let node = try IPVSNode()
        try node.namespace.require(["ipvsadm", "-R"], input: Self.servers)
        #expect(
            try node.peer("servers IPv4\nservers IPv6") == [
                "tcp 10.0.0.1 80 rr flags 1 for 100 s by /32"
                    + " > 10.1.0.1 8080 masquerading weight 1, 0/0/0 > 10.1.0.2 8080 masquerading weight 1, 0/0/0",
                "tcp 9.9.9.9 90 sh flags 24 > 10.9.9.9 90 directRouting weight 3, 0/0/0",
                "udp 10.0.0.1 53 mh flags 16", "tcp fd00::1 80 wrr flags 0 > fd01::1 8080 masquerading weight 1, 0/0/0",
            ])
    }

    @Test("servers are changed and deleted, and nothing else is")
    func changes() throws {
        let node = try IPVSNode()
        try node.namespace.require(["ipvsadm", "-R"], input: Self.servers)
        let failures = try node.peer(
            """
            server-change tcp 10.0.0.1 80 mh 30
            real-change tcp 10.0.0.1 80 10.1.0.1 8080 0
            real-delete tcp 10.0.0.1 80 10.1.0.2 8080
            real-change tcp 10.0.0.1 80 10.1.0.2 8080 0
            server-change udp 10.0.0.1 53 rr
            server-delete tcp fd00::1 80
            server-delete tcp fd00::1 80
            commit
            """)
        #expect(
            failures == [
                "3 refused: cannot set the weight of the real server 10.1.0.2 port 8080 of tcp 10.0.0.1 port 80 to 0: there is no such real server",
                "6 refused: cannot delete the virtual server tcp fd00::1 port 80: there is no such virtual server",
            ])
        #expect(
            try node.run("ipvsadm", "-S", "-n").sorted() == [
                "-A -f 7 -s rr", "-A -t 10.0.0.1:80 -s mh -p 30 -b mh-port",
                "-A -t 9.9.9.9:90 -s sh -b sh-fallback,sh-port", "-A -u 10.0.0.1:53 -s rr",
                "-a -f 7 -r 10.9.9.9:0 -m -w 1", "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 0",
                "-a -t 9.9.9.9:90 -r 10.9.9.9:90 -g -w 3",
            ])
    }

    @Test("more changes than a datagram takes are all made, and those that fail have their places")
    func many() throws {
        let node = try IPVSNode()
        #expect(try node.peer("server-fill 1100\ncommit") == [])
        #expect(try node.run("ipvsadm", "-S", "-n").count == 2200)
        #expect(try node.peer("servers IPv4").count { $0.contains("masquerading weight 1") } == 1100)
        let failures = try node.peer("server-fill 1100\ncommit")
        #expect(failures.map { $0.prefix { $0.isNumber } } == (0..<2200).map { Substring("\($0)") })
    }

    @Test("the device is made down, holds addresses alone, and goes with them")
    func device() throws {
        let node = try IPVSNode()
        #expect(
            try node.peer(
                """
                device-list IPv4
                device-add 10.0.0.1
                device-ensure
                device-ensure
                device-add 10.0.0.1 10.0.0.2 fd00::1 10.0.0.1
                device-delete 10.0.0.2 10.0.0.3 fd00::7
                """) == ["refused: the device kube-ipvs0 is not there", "made", "was there"])
        let link = try #require(try node.run("ip", "-o", "-d", "link", "show", "kube-ipvs0").first)
        #expect(link.contains("<BROADCAST,NOARP>") && link.contains("state DOWN") && link.contains("dummy"))
        let shown = try node.run("ip", "-o", "addr", "show", "dev", "kube-ipvs0")
        let addresses = shown.map { $0.split(separator: " ").dropFirst(2).prefix(4).joined(separator: " ") }
        #expect(addresses == ["inet 10.0.0.1/32 scope global", "inet6 fd00::1/128 scope global"])
        // The kernel takes their packets in though the device is down.
        #expect(try node.run("ip", "route", "get", "10.0.0.1").first?.hasPrefix("local 10.0.0.1 dev lo") == true)
        #expect(try node.run("ip", "route", "get", "fd00::1").first?.hasPrefix("local fd00::1") == true)
        try node.shell("ip addr add 10.7.0.1/24 dev kube-ipvs0; ip addr add 10.8.0.1 dev lo")
        #expect(
            try node.peer("device-list IPv4\ndevice-list IPv6\nelsewhere\ndevice-remove\ndevice-remove") == [
                "10.0.0.1", "fd00::1", "10.8.0.1 lo", "127.0.0.1 lo", "::1 lo",
            ])
        #expect(try node.namespace.run(["ip", "link", "show", "kube-ipvs0"]).status != 0)
    }

    @Test("the device goes where both families are cleaned beside each other")
    func bothFamilies() throws {
        let node = try IPVSNode()
        for _ in 0..<20 {
            #expect(try node.peer("device-ensure\ndevice-add 10.0.0.1 fd00::1\nretire") == ["made"])
            #expect(try node.run("ip", "-o", "link", "show", "type", "dummy") == [])
        }
    }

    @Test("connections are left alone also where the removal is called off before it has counted them")
    func openConnections() throws {
        let node = try IPVSNode()
        // Nobody answers behind the device: the kernel remembers a connection that has begun.
        try node.shell(
            """
            ip link add away type dummy
            ip link set away up
            ip addr add 10.1.0.1/24 dev away
            ip addr add fd01::1/64 dev away nodad
            ip neighbor add 10.1.0.9 lladdr 02:00:00:00:00:09 dev away
            ip neighbor add fd01::9 lladdr 02:00:00:00:00:09 dev away
            """)
        let servers = ["10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2"].map { address in
            let endpoint = address.contains(":") ? "fd01::9" : "10.1.0.9"
            return "server-add tcp \(address) 80 rr\nreal-add tcp \(address) 80 \(endpoint) 80 1\n"
        }
        #expect(
            try node.peer("device-ensure\ndevice-add 10.0.0.1 10.0.0.2 fd00::1 fd00::2\n\(servers.joined())commit")
                == ["made"])
        for address in ["10.0.0.1", "fd00::1"] {
            let ask = [BuiltProducts.trafficPeer, "ask", "--tcp", address, "80", "--timeout", "100"]
            _ = try node.namespace.run(ask)
        }
        #expect(try node.run("cat", "/proc/net/ip_vs_conn").count { $0.contains("SYN_RECV") } == 2)
        #expect(
            try node.peer("retire-cancelled") == [
                "IPv4 removed 1 virtual server and 1 address, kept 1 virtual server and 1 address",
                "IPv6 removed 1 virtual server and 1 address, kept 1 virtual server and 1 address",
            ])
        #expect(try node.run("cat", "/proc/net/ip_vs_conn").count { $0.contains("SYN_RECV") } == 2)
    }

    @Test("what is lent to addresses is taken back, also where only the routes were left")
    func lending() throws {
        let node = try IPVSNode()
        func routes() throws -> [String] {
            try node.run(
                "sh", "-c", "(ip route show table local; ip -6 route show table local) | grep -E '10.0.0|fd00' || true")
        }
        try node.shell("ip addr add 10.5.0.1/32 dev lo; ip addr add fd05::1/128 dev lo")
        #expect(try node.peer("device-ensure\ndevice-add 10.0.0.1 10.0.0.2 fd00::1 fd00::2") == ["made"])
        let before = try routes()
        #expect(before.count == 4)
        let lend = "device-lend 10.5.0.1 10.0.0.1\ndevice-lend fd05::1 fd00::1 fd00::2"
        #expect(try node.peer(lend) == [])
        #expect(try routes().count { $0.contains("src 10.5.0.1") || $0.contains("src fd05::1") } == 3)
        #expect(try node.peer("device-take-back IPv4\ndevice-take-back IPv6") == [])
        #expect(try routes().filter { $0.contains("10.") } == before.filter { $0.contains("10.") })
        #expect(try !routes().contains { $0.contains("src fd05::1") })

        // As where the program is ended between the addresses and their routes.
        #expect(try node.peer(lend) == [])
        try node.shell("ip addr del fd00::1/128 dev kube-ipvs0")
        #expect(try node.peer("device-take-back IPv6") == [])
        #expect(try !routes().contains { $0.contains("fd00::1 ") })
        #expect(try node.peer(lend.replacing(" fd00::1", with: "")) == [])
        try node.shell("ip link del kube-ipvs0")
        #expect(try routes().count == 1)
        #expect(try node.peer("retire") == [])
        #expect(try routes() == [])
    }

    @Test("an address that the device may not have is said to be of no use, and the others are added")
    func withoutIPv6() throws {
        let node = try IPVSNode()
        #expect(try node.peer("device-ensure") == ["made"])
        try node.shell("echo 1 > /proc/sys/net/ipv6/conf/kube-ipvs0/disable_ipv6")
        let reason = "IPv6 is switched off for the device (the setting disable_ipv6) (Permission denied)"
        #expect(
            try node.peer("device-add fd00::1 10.0.0.1 fd00::2\ndevice-list IPv4") == [
                "0 unsupported: cannot add fd00::1 to kube-ipvs0: \(reason)",
                "2 unsupported: cannot add fd00::2 to kube-ipvs0: \(reason)", "10.0.0.1",
            ])
    }

    @Test("a process without rights is told so")
    func rights() throws {
        let node = try IPVSNode()
        let command = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", BuiltProducts.ipvsPeer]
        let input = "server-add tcp 10.0.0.1 80 rr\ncommit\nset-create A hash:ip IPv4\ndevice-ensure\n"
        let lines = try node.namespace.require(command, input: input).split(separator: "\n")
        #expect(lines.count == 3)
        for line in lines {
            #expect(line.contains("unsupported: cannot ") && line.contains(": this needs root, or CAP_NET_ADMIN"))
        }
    }

    @Test("thousands of addresses are added and listed")
    func addresses() throws {
        let node = try IPVSNode()
        #expect(
            try node.peer("device-ensure\ndevice-fill 2500\ndevice-count IPv4") == ["made", "2500 addresses"])
    }

    @Test("a device of the name that is no dummy is left alone")
    func foreignDevice() throws {
        let node = try IPVSNode()
        try node.shell("ip link add kube-ipvs0 type veth peer name other")
        let refusal = "refused: the device kube-ipvs0 is there and is no dummy"
        #expect(try node.peer("device-ensure\ndevice-add 10.0.0.1\ndevice-remove") == [refusal, refusal])
        #expect(try node.run("ip", "-o", "link", "show", "kube-ipvs0").count == 1)
    }
}
