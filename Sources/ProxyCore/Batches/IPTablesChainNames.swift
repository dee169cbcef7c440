/// The chain names that kube-proxy uses: a chain with such a name is ours, whoever wrote it.
package enum IPTablesChainNames {
    /// The chains of iptables mode that every service shares.
    package static let shared: Set<String> = [
        "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ",
        "KUBE-FORWARD", "KUBE-PROXY-FIREWALL",
    ]
    /// The chains that only ipvs mode has.
    package static let onlyIPVS: Set<String> = [
        "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER",
        "KUBE-IPVS-OUT-FILTER",
    ]
    /// The chains of table nat, and of table filter, that iptables mode and ipvs mode have alike.
    package static let ofBothModes: (nat: Set<String>, filter: Set<String>) = (
        ["KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"], ["KUBE-FORWARD", "KUBE-PROXY-FIREWALL"]
    )
    /// The chain that drops other hosts' packets to loopback addresses. The kubelet makes the same.
    package static let loopbackGuard = "KUBE-FIREWALL"
    /// An empty chain by which kube-proxy sees that a table was flushed.
    package static let canary = "KUBE-PROXY-CANARY"
    /// What the chains of a service port begin with, before its hash.
    package static let servicePrefixes = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-"]
    /// What the chain of an endpoint begins with, before its hash.
    package static let endpointPrefix = "KUBE-SEP-"
    /// What KUBE-EXT- was up to Kubernetes 1.23.
    package static let formerPrefix = "KUBE-XLB-"
}
