/// The tables of nf_tables that are ours, whoever wrote them.
public enum NFTablesNames {
    /// The layout of maps that all services share.
    public static let sharedMaps = "switchyard"
    /// The layout of kube-proxy.
    public static let kubeProxy = "kube-proxy"

    public static let all = [sharedMaps, kubeProxy]
}
