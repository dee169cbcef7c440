/// Which chains are ours: those with a name that kube-proxy uses in iptables mode, whoever wrote them.
///
/// KUBE-KUBELET-CANARY, KUBE-PROXY-CANARY and KUBE-IPTABLES-HINT hold no rules, and KUBE-MARK-DROP is an older kubelet's.
enum OwnChain {
    private static let shared: Set<String> = [
        "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ",
        "KUBE-FORWARD", "KUBE-PROXY-FIREWALL", loopbackGuard,
    ]

    /// The chain that the kubelet makes too.
    static let loopbackGuard = "KUBE-FIREWALL"

    static func isOurs(_ name: String) -> Bool {
        name.utf8.starts(with: "KUBE-".utf8)
            && (shared.contains(name) || servicePart(of: name) != nil || isEndpoint(name))
    }

    /// True for the chain of one endpoint.
    static func isEndpoint(_ name: String) -> Bool { name.hasPrefix("KUBE-SEP-") }

    /// The part of the name that all chains of a service port have in common, its hash; nil for other chains.
    static func servicePart(of name: String) -> Substring? {
        for prefix in ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-"] where name.hasPrefix(prefix) {
            return name.dropFirst(prefix.count)
        }
        return nil
    }
}
