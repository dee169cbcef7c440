import ProxyCore
import TestSupport
import Testing

/// The chains of one service or endpoint.
let servicePrefixes = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-"]

/// The jumps of iptables mode, in kube-proxy's order.
let serviceJumps: [IPTablesJump] = {
    func jump(
        _ table: IPTablesBatch.TableName, _ chain: String, _ target: String, _ comment: String?, new: Bool = false
    ) -> IPTablesJump {
        let state = new ? ["-m conntrack --ctstate NEW"] : []
        let comments = comment.map { ["-m comment --comment \"\($0)\""] } ?? []
        return IPTablesJump(
            table: table, chain: chain, matches: (state + comments).joined(separator: " "), target: target)
    }
    let portals = "kubernetes service portals"
    let external = "kubernetes externally-visible service portals"
    let firewall = "kubernetes load balancer firewall"
    return [
        jump(.filter, "INPUT", "KUBE-EXTERNAL-SERVICES", external, new: true),
        jump(.filter, "FORWARD", "KUBE-EXTERNAL-SERVICES", external, new: true),
        jump(.filter, "INPUT", "KUBE-NODEPORTS", "kubernetes health check service ports"),
        jump(.filter, "FORWARD", "KUBE-SERVICES", portals, new: true),
        jump(.filter, "OUTPUT", "KUBE-SERVICES", portals, new: true),
        jump(.filter, "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
        jump(.filter, "INPUT", "KUBE-PROXY-FIREWALL", firewall, new: true),
        jump(.filter, "OUTPUT", "KUBE-PROXY-FIREWALL", firewall, new: true),
        jump(.filter, "FORWARD", "KUBE-PROXY-FIREWALL", firewall, new: true),
        jump(.filter, "INPUT", "KUBE-FIREWALL", nil),
        jump(.filter, "OUTPUT", "KUBE-FIREWALL", nil),
        jump(.nat, "OUTPUT", "KUBE-SERVICES", portals),
        jump(.nat, "PREROUTING", "KUBE-SERVICES", portals),
        jump(.nat, "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    ]
}()

extension IPTablesBatch {
    /// A batch with the jumps and the prefixes of iptables mode.
    init(_ family: IPFamily, filter: String, nat: String) {
        self.init(
            family: family,
            tables: [Table(name: .filter, text: Array(filter.utf8)), Table(name: .nat, text: Array(nat.utf8))],
            jumps: serviceJumps, ownedChainPrefixes: servicePrefixes)
    }

    /// A batch of one service, as small as can be.
    ///
    /// - Parameters:
    ///   - service: what its chain is called after `KUBE-SVC-`.
    ///   - extra: further lines for table nat.
    static func small(_ family: IPFamily, service: String = "ONE", extra: String = "") -> IPTablesBatch {
        let address = family == .ipv4 ? "198.51.100.1" : "2001:db8::1"
        let filter = """
            *filter
            :KUBE-SERVICES - [0:0]
            :KUBE-EXTERNAL-SERVICES - [0:0]
            :KUBE-FORWARD - [0:0]
            :KUBE-NODEPORTS - [0:0]
            :KUBE-PROXY-FIREWALL - [0:0]
            \(family == .ipv4 ? ":KUBE-FIREWALL - [0:0]\n" : "")-A KUBE-FORWARD -m comment --comment "of \(service)" -m mark --mark 0x00004000/0x00004000 -j ACCEPT
            COMMIT

            """
        let nat = """
            *nat
            :KUBE-SERVICES - [0:0]
            :KUBE-POSTROUTING - [0:0]
            :KUBE-SVC-\(service) - [0:0]
            -A KUBE-SERVICES -m comment --comment "one cluster IP" -m tcp -p tcp -d \(address) --dport 80 -j KUBE-SVC-\(service)
            \(extra)COMMIT

            """
        return IPTablesBatch(family, filter: filter, nat: nat)
    }

    /// The chains that the text of a table declares.
    func declaredChains(_ table: TableName) -> Set<String> {
        let texts = tables.filter { $0.name == table }.map { String(decoding: $0.text, as: UTF8.self) }
        let lines = texts.flatMap { $0.split(separator: "\n") }.filter { $0.hasPrefix(":") }
        return Set(lines.compactMap { $0.dropFirst().split(separator: " ").first.map(String.init) })
    }
}

extension GoldenCase {
    /// The expected input for iptables-restore.
    func batch(_ family: IPFamily) throws -> IPTablesBatch {
        let bytes = try #require(expected("iptables.\(family.shortName).restore"))
        let tables = String(decoding: bytes, as: UTF8.self).split(separator: "COMMIT\n").map { $0 + "COMMIT\n" }
        try #require(tables.count == 2)
        return IPTablesBatch(family, filter: String(tables[0]), nat: String(tables[1]))
    }
}
