/// The kind of rules that the proxy writes.
public enum ProxyMode: String, CaseIterable, Hashable, Sendable {
    case iptables
    case ipvs
    case nftables
}
