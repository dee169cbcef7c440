import TestSupport
import Testing

extension KernelTests {
    @Suite("Sets by netlink", .kernel("ipset", "iptables-legacy"))
    struct IPSetApplierTests {
        /// A set of each type and family, and as ipset saves it.
        private static let saved = [
            "create A hash:ip family inet hashsize 1024 maxelem 65536", "add A 10.0.0.1", "add A 10.0.0.2",
            "create B hash:ip,port family inet hashsize 1024 maxelem 65536", "add B 10.0.0.1,sctp:9",
            "add B 10.0.0.1,tcp:80", "add B 10.0.0.1,udp:53",
            "create C hash:ip,port,ip family inet hashsize 1024 maxelem 65536", "add C 10.0.0.1,tcp:80,10.0.0.1",
            "create D hash:ip,port,net family inet hashsize 1024 maxelem 65536", "add D 10.0.0.1,tcp:80,1.2.3.4",
            "add D 10.0.0.1,tcp:80,10.0.0.0/8", "create E bitmap:port range 0-65535", "add E 0", "add E 65535",
            "create F hash:ip family inet6 hashsize 1024 maxelem 65536", "add F fd00::1",
            "create G hash:ip,port family inet6 hashsize 1024 maxelem 65536", "add G fd00::1,tcp:80",
            "create H hash:ip,port,ip family inet6 hashsize 1024 maxelem 65536", "add H fd00::1,sctp:80,fd00::2",
            "create I hash:ip,port,net family inet6 hashsize 1024 maxelem 65536", "add I fd00::1,udp:80,fd00::/64",
        ]

        private static let creation = """
            set-create A hash:ip IPv4
            set-create B hash:ip,port IPv4
            set-create C hash:ip,port,ip IPv4
            set-create D hash:ip,port,net IPv4
            set-create E bitmap:port IPv4
            set-create F hash:ip IPv6
            set-create G hash:ip,port IPv6
            set-create H hash:ip,port,ip IPv6
            set-create I hash:ip,port,net IPv6
            set-add A 10.0.0.1 10.0.0.2 10.0.0.3
            set-delete A 10.0.0.3 10.0.0.4
            set-add B 10.0.0.1,tcp:80 10.0.0.1,udp:53 10.0.0.1,sctp:9
            set-add C 10.0.0.1,tcp:80,10.0.0.1
            set-add D 10.0.0.1,tcp:80,10.0.0.0/8 10.0.0.1,tcp:80,1.2.3.4/32
            set-add E 0 65535
            set-add F fd00::1
            set-add G fd00::1,tcp:80
            set-add H fd00::1,sctp:80,fd00::2
            set-add I fd00::1,udp:80,fd00::/64
            """

        @Test("of every type and family are made as ipset makes them, once and again, and read back")
        func types() throws {
            let node = try IPVSNode()
            #expect(try node.peer(Self.creation) == [])
            #expect(try node.run("ipset", "save").sorted() == Self.saved.sorted())
            #expect(try node.peer(Self.creation) == [])
            // Whoever uses ipset next finds what it would have made.
            try node.shell("ipset create A hash:ip family inet hashsize 1024 maxelem 65536 -exist")
            try node.shell("ipset create E bitmap:port range 0-65535 -exist")
            let lists = "ABCDEFGHI".map { "set-list \($0)" }.joined(separator: "\n")
            let entries = Self.saved.filter { $0.hasPrefix("add") }.map { $0.split(separator: " ")[2] }
            let read = try node.peer(lists).map { $0.hasSuffix("4/32") ? Substring($0.dropLast(3)) : Substring($0) }
            #expect(read.sorted() == entries.sorted())
        }

        @Test("take what they take, and each entry that they refuse is named")
        func refusals() throws {
            let node = try IPVSNode()
            let lines = try node.peer(
                """
                set-create A hash:ip IPv4
                set-add A 10.0.0.1 0.0.0.0 10.0.0.2 fd00::1 10.0.0.3
                set-list A
                set-create D hash:ip,port,net IPv4
                set-add D 10.0.0.1,tcp:80,0.0.0.0/0 10.0.0.1,tcp:80,10.0.0.0/8
                set-add X 10.0.0.1
                set-create A hash:ip,port IPv4
                set-flush X
                set-list X
                set-destroy X
                """)
            #expect(
                lines == [
                    "1 refused: cannot add 0.0.0.0 to the set A: sets do not take an entry that is all zeros",
                    "3 refused: cannot add fd00::1 to the set A: the set takes no such entry, as of the other address family, or the kernel no such message",
                    "10.0.0.1", "10.0.0.2", "10.0.0.3",
                    "0 refused: cannot add 10.0.0.1,tcp:80,0.0.0.0/0 to the set D: the length of the prefix is not one that sets take",
                    "refused: cannot change the set X: there is no such set",
                    "refused: cannot create the set A of type hash:ip,port: there is a set of this name, and it is of another kind",
                    "refused: cannot flush the set X: there is no such set", "no set X",
                ])
        }

        @Test("take thousands of entries and give them back, and say which were too many")
        func size() throws {
            let node = try IPVSNode()
            try node.shell("ipset create F hash:ip,port maxelem 1000")
            let lines = try node.peer("set-create A hash:ip,port IPv4\nset-fill A 10000\nset-count A\nset-fill F 1500")
            #expect(lines.prefix(2) == ["0 refused", "10000 entries"])
            #expect(lines.last == "500 refused")
            let full = "172.30.3.232,tcp:80 to the set F: the set is full, or the entry lies outside its range"
            #expect(lines.dropFirst(2).first == "1000 refused: cannot add \(full)")
            let listing = try node.run("ipset", "list", "A")
            #expect(listing.contains("Number of entries: 10000"))
            #expect(Set(listing.drop { $0 != "Members:" }.dropFirst()).count == 10000)
        }

        @Test("keep the entries of others, which are counted")
        func foreign() throws {
            let node = try IPVSNode()
            try node.shell(
                """
                ipset create D hash:ip,port,net
                ipset add D 10.0.0.1,tcp:80,10.0.0.0/8
                ipset add D 10.0.0.1,tcp:80,10.1.0.0/16 nomatch
                ipset add D 10.0.0.1,icmp:ping,10.0.0.0/8
                ipset create T hash:ip timeout 100
                ipset add T 10.0.0.1
                ipset create M hash:net
                ipset add M 10.0.0.0/8
                """)
            #expect(
                try node.peer("set-list D\nset-list T\nset-list M\nsets") == [
                    "10.0.0.1,tcp:80,10.0.0.0/8", "2 unknown", "1 unknown", "1 unknown",
                    "D hash:ip,port,net IPv4 3 entries, used by 0", "M hash:net IPv4 1 entries, used by 0",
                    "T hash:ip IPv4 1 entries, used by 0",
                ])
        }

        @Test("are swapped under the rules that use them, flushed, and destroyed when none does")
        func use() throws {
            let node = try IPVSNode()
            #expect(try node.peer("set-create A hash:ip IPv4\nset-create B hash:ip IPv4\nset-add B 10.0.0.1") == [])
            try node.shell("iptables-legacy -A INPUT -m set --match-set A src -j ACCEPT")
            #expect(
                try node.peer("set-swap A B\nset-list A\nset-destroy A\nset-swap A X\nset-flush A\nsets\nset-destroy B")
                    == [
                        "10.0.0.1", "refused: cannot destroy the set A: the set is in use by rules or by other sets",
                        "refused: cannot swap the sets A and X: there is a set of the new name already, or none to swap with",
                        "A hash:ip IPv4 0 entries, used by 1", "B hash:ip IPv4 0 entries, used by 0",
                    ])
            #expect(try node.run("ipset", "list", "-n") == ["A"])
        }
    }
}
