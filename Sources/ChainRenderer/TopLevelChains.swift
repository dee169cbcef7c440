import ProxyCore

/// The chains that every service shares, and the tables put together from them and the services' fragments.
enum TopLevelChains {
    private static let filterChains: [StaticString] = [
        "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL",
    ]
    private static let natChains: [StaticString] = [
        "KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ",
    ]

    /// The jumps from built-in chains, in the order in which kube-proxy looks for them.
    ///
    /// KUBE-FIREWALL is jumped to whether it has a rule or not, in both families: the kubelet does the same, and the
    /// jump is not to come and go with the configuration.
    static let jumps: [IPTablesJump] = [
        filter("INPUT", "kubernetes externally-visible service portals", new: true, "KUBE-EXTERNAL-SERVICES"),
        filter("FORWARD", "kubernetes externally-visible service portals", new: true, "KUBE-EXTERNAL-SERVICES"),
        filter("INPUT", "kubernetes health check service ports", new: false, "KUBE-NODEPORTS"),
        filter("FORWARD", "kubernetes service portals", new: true, "KUBE-SERVICES"),
        filter("OUTPUT", "kubernetes service portals", new: true, "KUBE-SERVICES"),
        filter("FORWARD", "kubernetes forwarding rules", new: false, "KUBE-FORWARD"),
        filter("INPUT", "kubernetes load balancer firewall", new: true, "KUBE-PROXY-FIREWALL"),
        filter("OUTPUT", "kubernetes load balancer firewall", new: true, "KUBE-PROXY-FIREWALL"),
        filter("FORWARD", "kubernetes load balancer firewall", new: true, "KUBE-PROXY-FIREWALL"),
        IPTablesJump(table: .filter, chain: "INPUT", matches: "", target: "KUBE-FIREWALL"),
        IPTablesJump(table: .filter, chain: "OUTPUT", matches: "", target: "KUBE-FIREWALL"),
        nat("OUTPUT", "kubernetes service portals", "KUBE-SERVICES"),
        nat("PREROUTING", "kubernetes service portals", "KUBE-SERVICES"),
        nat("POSTROUTING", "kubernetes postrouting rules", "KUBE-POSTROUTING"),
    ]

    private static func filter(_ chain: String, _ comment: String, new: Bool, _ target: String) -> IPTablesJump {
        let state = new ? "-m conntrack --ctstate NEW " : ""
        return IPTablesJump(
            table: .filter, chain: chain, matches: "\(state)-m comment --comment \"\(comment)\"", target: target)
    }

    private static func nat(_ chain: String, _ comment: String, _ target: String) -> IPTablesJump {
        IPTablesJump(table: .nat, chain: chain, matches: "-m comment --comment \"\(comment)\"", target: target)
    }

    // MARK: Tables

    /// The parts of a text of the filter table: the services' rules stand between head and tail.
    static func filterParts(_ node: NodePlan, _ options: IPTablesRules.Options) -> (head: [UInt8], tail: [UInt8]) {
        var head = RuleWriter(capacity: 1024)
        head.write("*filter\n")
        for chain in filterChains { head.writeDeclaration(chain) }
        if node.guardsLoopback {
            head.writeDeclaration("KUBE-FIREWALL")
            head.write(
                """
                -A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 \
                ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP

                """)
        }
        var tail = RuleWriter(capacity: 1024)
        if node.dropsInvalid {
            tail.write("-A KUBE-FORWARD -m conntrack --ctstate INVALID")
            if options.accounting { tail.write(" -m nfacct --nfacct-name ct_state_invalid_dropped_pkts") }
            tail.write(" -j DROP\n")
        }
        tail.write("-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\"")
        tail.writeMarkMatch(node, inverted: false)
        tail.write(" -j ACCEPT\n")
        tail.write(
            """
            -A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack \
            --ctstate RELATED,ESTABLISHED -j ACCEPT
            COMMIT

            """)
        return (Array(head.bytes), Array(tail.bytes))
    }

    static func filterTable(
        _ node: NodePlan, _ options: IPTablesRules.Options, _ fragments: [ServiceFragment]
    ) -> [UInt8] {
        let (head, tail) = filterParts(node, options)
        var text: [UInt8] = []
        text.reserveCapacity(fragments.reduce(head.count + tail.count) { $0 + $1.filter.count })
        text.append(contentsOf: head)
        for fragment in fragments { text.append(contentsOf: fragment.filter) }
        text.append(contentsOf: tail)
        return text
    }

    /// The parts of a text of the nat table: the declarations of the services' chains stand between head and rules,
    /// their rules between rules and tail.
    static func natParts(_ node: NodePlan) -> (head: [UInt8], rules: [UInt8], tail: [UInt8]) {
        var head = RuleWriter(capacity: 1024)
        head.write("*nat\n")
        for chain in natChains { head.writeDeclaration(chain) }
        var rules = RuleWriter(capacity: 1024)
        // Packets that are not marked are none of ours; the mark is cleared so that the masqueraded packet, if it is
        // routed a second time, is not taken for one that asks for masquerade.
        rules.write("-A KUBE-POSTROUTING")
        rules.writeMarkMatch(node, inverted: true)
        rules.write(" -j RETURN\n-A KUBE-POSTROUTING -j MARK --xor-mark ")
        rules.write(mark: node.masqueradeMark)
        rules.write(
            """

            -A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE
            """)
        if node.masqueradesRandomly { rules.write(" --random-fully") }
        rules.write("\n")
        writeMarkRule(node, into: &rules)
        var tail = RuleWriter(capacity: 512)
        writeNodePortTail(node, into: &tail)
        tail.write("COMMIT\n")
        return (Array(head.bytes), Array(rules.bytes), Array(tail.bytes))
    }

    /// - Parameter ownChains: whether the services' own chains are in it, or only the rules that lead to them.
    static func natTable(_ node: NodePlan, _ fragments: [ServiceFragment], ownChains: Bool) -> [UInt8] {
        let (head, rules, tail) = natParts(node)
        var text: [UInt8] = []
        let fixed = head.count + rules.count + tail.count
        text.reserveCapacity(
            fragments.reduce(fixed) { $0 + $1.top.count + (ownChains ? $1.chains.count + $1.own.count : 0) })
        text.append(contentsOf: head)
        for fragment in fragments where ownChains { text.append(contentsOf: fragment.chains) }
        text.append(contentsOf: rules)
        for fragment in fragments {
            text.append(contentsOf: fragment.top)
            if ownChains { text.append(contentsOf: fragment.own) }
        }
        text.append(contentsOf: tail)
        return text
    }

    /// A piece of the nat table: the own chains of some service ports, and KUBE-MARK-MASQ, which they jump to.
    static func natPiece(_ node: NodePlan, _ fragments: some Collection<ServiceFragment>) -> [UInt8] {
        var writer = RuleWriter(capacity: fragments.reduce(256) { $0 + $1.chains.count + $1.own.count })
        writer.write("*nat\n")
        writer.writeDeclaration("KUBE-MARK-MASQ")
        for fragment in fragments { writer.write(fragment.chains) }
        writeMarkRule(node, into: &writer)
        for fragment in fragments { writer.write(fragment.own) }
        writer.write("COMMIT\n")
        return Array(writer.bytes)
    }

    private static func writeMarkRule(_ node: NodePlan, into writer: inout RuleWriter) {
        writer.write("-A KUBE-MARK-MASQ -j MARK --or-mark ")
        writer.write(mark: node.masqueradeMark)
        writer.write("\n")
    }

    /// The nat table with the chains of `changed` only, and with the top-level chains if `top` has fragments for them.
    ///
    /// KUBE-POSTROUTING and KUBE-MARK-MASQ depend on the node alone and are in full batches only.
    static func natDelta(
        _ node: NodePlan, top: [ServiceFragment]?, changed: [ServiceFragment], stale: [String]
    ) -> [UInt8] {
        var writer = RuleWriter(capacity: 4096)
        writer.write("*nat\n")
        if top != nil {
            writer.writeDeclaration("KUBE-SERVICES")
            writer.writeDeclaration("KUBE-NODEPORTS")
        }
        for fragment in changed { writer.write(fragment.chains) }
        for chain in stale {
            writer.write(":")
            writer.write(chain)
            writer.write(" - [0:0]\n")
        }
        if let top {
            for fragment in top { writer.write(fragment.top) }
            writeNodePortTail(node, into: &writer)
        }
        for fragment in changed { writer.write(fragment.own) }
        // Only now does nothing jump to them any more.
        for chain in stale {
            writer.write("-X ")
            writer.write(chain)
            writer.write("\n")
        }
        writer.write("COMMIT\n")
        return Array(writer.bytes)
    }

    /// The rules that end KUBE-SERVICES: packets to the node itself may be for a node port.
    private static func writeNodePortTail(_ node: NodePlan, into writer: inout RuleWriter) {
        func writeRule(_ body: (inout RuleWriter) -> Void) {
            writer.write(
                """
                -A KUBE-SERVICES -m comment --comment \
                "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
                """)
            body(&writer)
            writer.write(" -j KUBE-NODEPORTS\n")
        }
        switch node.nodePorts {
        case .everyLocalAddress(let exceptLoopback):
            writeRule {
                $0.write(" -m addrtype --dst-type LOCAL")
                guard exceptLoopback else { return }
                $0.write(node.family == .ipv4 ? " ! -d 127.0.0.0/8" : " ! -d ::1/128")
            }
        case .addresses(let addresses):
            for address in addresses {
                writeRule {
                    $0.write(" -d ")
                    $0.write(address)
                }
            }
        }
    }
}

extension RuleWriter {
    mutating func write(_ bytes: ArraySlice<UInt8>) {
        bytes.withUnsafeBytes { write($0) }
    }

    fileprivate mutating func writeDeclaration(_ chain: StaticString) {
        write(":")
        write(chain)
        write(" - [0:0]\n")
    }

    fileprivate mutating func writeMarkMatch(_ node: NodePlan, inverted: Bool) {
        write(inverted ? " -m mark ! --mark " : " -m mark --mark ")
        write(mark: node.masqueradeMark)
        write("/")
        write(mark: node.masqueradeMark)
    }
}
