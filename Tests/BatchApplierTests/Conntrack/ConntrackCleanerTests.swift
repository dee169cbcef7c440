import ProxyCore
import TestSupport
import Testing

@testable import BatchApplier

extension KernelTests {
    @Suite("ConntrackCleaner", .kernel("conntrack", "iptables", "ip6tables", "bash"))
    struct ConntrackCleanerTests {
        /// A service with the endpoint 10.0.0.1, one without endpoints, a former one, all with node ports.
        private let query = """
            local 192.0.2.1
            address 172.30.0.10 53 to 10.0.0.1 5353
            node-port 30053 to 10.0.0.1 5353
            address 172.30.0.11 53 to
            node-port 30054 to
            address 172.30.0.12 53 nobody
            node-port 30055 nobody

            """

        /// Entries that the query calls right.
        private let right = [
            ("udp", "172.30.0.10 53", "10.0.0.1 5353"), ("udp", "192.0.2.1 30053", "10.0.0.1 5353"),
            // Another protocol, another port, another host with the same port.
            ("tcp", "172.30.0.10 53", "10.0.0.9 5353"), ("udp", "172.30.0.10 54", "10.0.0.9 5353"),
            ("udp", "192.0.2.9 30053", "10.0.0.9 5353"), ("udp", "8.8.8.8 53", "8.8.8.8 53"),
            // Programs of the node on ports where nobody serves a node port.
            ("udp", "192.0.2.1 30054", "192.0.2.1 30054"), ("udp", "192.0.2.1 30055", "192.0.2.1 30055"),
            ("udp", "172.30.0.12 53", "172.30.0.12 53"),
        ]

        private let stale = [
            ("udp", "172.30.0.10 53", "10.0.0.9 5353"), ("udp", "172.30.0.10 53", "172.30.0.10 53"),
            ("udp", "192.0.2.1 30053", "10.0.0.9 5353"), ("udp", "172.30.0.11 53", "10.0.0.1 5353"),
            ("udp", "192.0.2.1 30054", "10.0.0.1 5353"), ("udp", "172.30.0.12 53", "10.0.0.1 5353"),
            ("udp", "192.0.2.1 30055", "10.0.0.1 5353"),
        ]

        private func filledNode() throws -> ConntrackNode {
            let node = try ConntrackNode()
            for (index, (transport, destination, endpoint)) in (right + stale).enumerated() {
                try node.fill(transport, to: destination, endpoint, skipping: index * 3)
            }
            return node
        }

        private func names(_ kinds: [(String, String, String)]) -> [String: Int] {
            Dictionary(uniqueKeysWithValues: kinds.map { ("\($0) \($1) > \($2)", 3) })
        }

        @Test(
            "exactly the stale entries go, asked for one by one, all together, or by a kernel without filters",
            arguments: [
                ("8", "deleted 21 examined 39 dumps 6"), ("0", "deleted 21 examined 45 dumps 1"),
                ("unfiltered", "deleted 21 examined 48 dumps 1"),
            ])
        func exact(way: String, report: String) throws {
            let node = try filledNode()
            #expect(try node.entries() == names(right + stale))
            #expect(try node.clean(query, way) == report)
            #expect(try node.entries() == names(right))
        }

        @Test("a full pass also finds the flows of services that were deleted while nobody looked")
        func full() throws {
            let node = try filledNode()
            try node.fill(to: "172.30.7.7 53", "10.0.0.1 5353", skipping: 100)
            let found = try node.clean(query + "full\nrange 172.30.0.0/16\n")
            // One more than before: the port 54, to which no service has rules.
            #expect(found == "deleted 27 examined 48 dumps 1")
            var rest = names(right)
            rest["udp 172.30.0.10 54 > 10.0.0.9 5353"] = nil
            #expect(try node.entries() == rest)
        }

        @Test("IPv6 entries are judged alike, and a family leaves the other alone")
        func ipv6() throws {
            let node = try filledNode()
            try node.fill(to: "fd00:10:96::a 53", "fd00::9 5353")
            try node.fill(to: "2001:db8::1 30053", "fd00::9 5353", skipping: 3)
            try node.fill(to: "fd00:10:96::b 53", "fd00::1 5353")
            let query = """
                family IPv6
                local 2001:db8::1
                address fd00:10:96::a 53 to fd00::1 5353
                address fd00:10:96::b 53 to fd00::1 5353
                node-port 30053 to fd00::1 5353

                """
            #expect(try node.clean(query) == "deleted 6 examined 9 dumps 2")
            #expect(try node.entries(.ipv6) == ["udp fd00:10:96::b 53 > fd00::1 5353": 3])
            #expect(try node.entries() == names(right + stale))
        }

        @Test("entries of another zone are another program's")
        func zone() throws {
            let node = try ConntrackNode()
            for zone in ["0", "7"] {
                try node.namespace.require(
                    ["conntrack", "-I", "-p", "udp", "-s", "198.51.100.1", "-d", "172.30.0.11", "--sport", "1000"]
                        + ["--dport", "53", "-r", "10.0.0.1", "-q", "198.51.100.1", "--reply-port-src", "5353"]
                        + ["--reply-port-dst", "1000", "-t", "600", "-w", zone])
            }
            #expect(try node.clean(query, "8") == "deleted 1 examined 2 dumps 6")
            #expect(try node.namespace.require(["conntrack", "-L", "-w", "7"]).contains("172.30.0.11"))
        }

        @Test("thousands of stale entries go while the dump that finds them goes on")
        func thousands() throws {
            let node = try ConntrackNode()
            try node.fill("udp", 10_000, to: "172.30.0.10 53", "10.0.0.9 5353", spread: 20)
            try node.fill("udp", 5_000, to: "172.31.0.10 53", "10.0.1.9 5353")
            let found = try node.clean("address 172.30.0.10 53 to 10.0.0.1 5353\n")
            #expect(found == "deleted 500 examined 500 dumps 1")
            let many = (0..<20).map { "address 172.30.0.\(10 + $0) 53 nobody\n" }.joined()
            #expect(try node.clean(many) == "deleted 9500 examined 14500 dumps 1")
            #expect(try node.entries() == ["udp 172.31.0.10 53 > 10.0.1.9 5353": 5_000])
        }

        @Test("a cleaning that is cancelled says so and deletes nothing")
        func cancelled() throws {
            let node = try filledNode()
            let result = try node.namespace.run(
                [BuiltProducts.netlinkPeer, "conntrack-clean", "cancelled"], input: query)
            #expect(result.status == 1)
            #expect(result.errors.contains("\(ConntrackError.cancelled)"))
            #expect(try node.entries() == names(right + stale))
        }

        @Test(
            "a client that keeps sending reaches the new endpoint, then nobody, and nobody when the service is gone",
            arguments: IPFamily.allCases)
        func traffic(family: IPFamily) throws {
            let isIPv4 = family == .ipv4
            let node = try Namespace()
            let output = try node.require(
                ["bash", "-c", Self.trafficScript],
                environment: [
                    "PEER": BuiltProducts.netlinkPeer, "FAMILY": family.rawValue,
                    "TABLES": isIPv4 ? "iptables" : "ip6tables", "PREFIX": isIPv4 ? "32" : "128",
                    "SERVICE": isIPv4 ? "172.30.0.10" : "fd00:10:96::a", "ONE": isIPv4 ? "10.0.0.1" : "fd00::1",
                    "TWO": isIPv4 ? "10.0.0.2" : "fd00::2", "ICMP": isIPv4 ? "icmp" : "icmpv6",
                ])
            // Packets that the first endpoint has had, the second, and the rule that rejects.
            #expect(
                output == """
                    to the first 1 0 0
                    replaced 2 0 0
                    cleaned 2 1 0
                    last one gone 2 2 0
                    cleaned 2 2 1
                    back 2 3 1
                    service deleted 2 4 1
                    cleaned 2 4 1

                    """)
        }

        /// A node that is client and endpoints in one: what matters is where the nat table's first verdict leads.
        private static let trafficScript = """
            set -eu
            ip link set lo up
            for address in $ONE $TWO; do ip addr add $address/$PREFIX dev lo; done
            ip route add $SERVICE/$PREFIX dev lo
            say() {
                echo "$1" $("$TABLES" -vxnL COUNT | awk 'NR > 2 { print $1 }') \\
                    $("$TABLES" -vxnL OUTPUT | awk '/REJECT/ { print $1; found = 1 } END { if (!found) print rejected }' \\
                        rejected="$rejected")
            }
            send() { echo x >&3 2>/dev/null || true; }
            dnat() { "$TABLES" -t nat -F OUTPUT; "$TABLES" -t nat -A OUTPUT -d $SERVICE -p udp --dport 53 \\
                -j DNAT --to-destination "$1"; }
            clean() { printf 'family %s\\naddress %s 53 %s\\n' $FAMILY $SERVICE "$1" | "$PEER" conntrack-clean >&2; }
            bracket() { case $1 in *:*) echo "[$1]:5353";; *) echo "$1:5353";; esac; }
            rejected=0
            # The kernel tracks connections in a namespace only while a rule there needs it.
            "$TABLES" -A INPUT -m conntrack --ctstate INVALID
            "$TABLES" -N COUNT
            "$TABLES" -A INPUT -p udp --dport 5353 -j COUNT
            "$TABLES" -A COUNT -d $ONE
            "$TABLES" -A COUNT -d $TWO
            # Nobody listens; an answer of that kind would be an error of the client's socket.
            "$TABLES" -A OUTPUT -p $ICMP -j DROP

            dnat $(bracket $ONE)
            exec 3>/dev/udp/$SERVICE/53
            send; say "to the first"
            dnat $(bracket $TWO)
            send; say replaced
            clean "to $TWO 5353"
            send; say cleaned
            "$TABLES" -t nat -F OUTPUT
            "$TABLES" -I OUTPUT -d $SERVICE -p udp --dport 53 -m conntrack --ctstate NEW -j REJECT
            send; say "last one gone"
            clean to
            send; say cleaned
            rejected=1
            "$TABLES" -D OUTPUT 1
            dnat $(bracket $TWO)
            exec 3>/dev/udp/$SERVICE/53
            send; say back
            "$TABLES" -t nat -F OUTPUT
            send; say "service deleted"
            clean nobody
            send; say cleaned
            """
    }
}
