import ProxyCore

/// Which chains are ours: those with a name that kube-proxy uses in iptables mode, whoever wrote them.
///
/// KUBE-KUBELET-CANARY, KUBE-PROXY-CANARY and KUBE-IPTABLES-HINT hold no rules, and KUBE-MARK-DROP is an older kubelet's.
enum OwnChain {
    static func isOurs(_ name: String) -> Bool {
        name.utf8.starts(with: "KUBE-".utf8)
            && (IPTablesChainNames.shared.contains(name) || name == IPTablesChainNames.loopbackGuard
                || servicePart(of: name) != nil || isEndpoint(name))
    }

    /// True for the chain of one endpoint.
    static func isEndpoint(_ name: String) -> Bool { name.hasPrefix(IPTablesChainNames.endpointPrefix) }

    /// The part of the name that all chains of a service port have in common, its hash; nil for other chains.
    static func servicePart(of name: String) -> Substring? {
        for prefix in IPTablesChainNames.servicePrefixes where name.hasPrefix(prefix) {
            return name.dropFirst(prefix.count)
        }
        return nil
    }
}
