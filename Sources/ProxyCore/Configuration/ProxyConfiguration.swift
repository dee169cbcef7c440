/// The proxy's configuration: the fields of KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) with their
/// defaults.
///
/// Decoding and checking are in `ProxyConfiguration+KubeProxy.swift` and `ProxyConfiguration+Validation.swift`.
public struct ProxyConfiguration: Hashable, Sendable {
    public struct ClientConnection: Hashable, Sendable {
        public var kubeconfig = ""
        public var acceptContentTypes = ""
        public var contentType = "application/vnd.kubernetes.protobuf"
        public var qps = 5.0
        public var burst = 10
    }

    public struct IPTables: Hashable, Sendable {
        /// The bit of the packet mark that asks for masquerade: 0 to 31.
        public var masqueradeBit = 14
        public var masqueradeAll = false
        public var localhostNodePorts = true
        public var syncPeriod = Duration.seconds(30)
        public var minSyncPeriod = Duration.seconds(1)
    }

    public struct IPVS: Hashable, Sendable {
        public var syncPeriod = Duration.seconds(30)
        public var minSyncPeriod = Duration.zero
        /// Empty means `rr`.
        public var scheduler = ""
        public var excludeCIDRs: [CIDR] = []
        public var strictARP = false
        /// Zero keeps the kernel's value, as in the next two.
        public var tcpTimeout = Duration.zero
        public var tcpFinTimeout = Duration.zero
        public var udpTimeout = Duration.zero
    }

    public struct NFTables: Hashable, Sendable {
        public var masqueradeBit = 14
        public var masqueradeAll = false
        public var syncPeriod = Duration.seconds(30)
        public var minSyncPeriod = Duration.seconds(1)
    }

    /// Windows only: read, checked and kept.
    public struct WinKernel: Hashable, Sendable {
        public var networkName = ""
        public var sourceVip = ""
        public var enableDSR = false
        public var rootHnsEndpointName = ""
        public var forwardHealthCheckVip = false
    }

    public struct Conntrack: Hashable, Sendable {
        public var maxPerCore = 32_768
        public var min = 131_072
        public var tcpEstablishedTimeout = Duration.seconds(86_400)
        public var tcpCloseWaitTimeout = Duration.seconds(3_600)
        public var tcpBeLiberal = false
        public var udpTimeout = Duration.zero
        public var udpStreamTimeout = Duration.zero
    }

    public enum DetectLocalMode: String, CaseIterable, Sendable {
        case clusterCIDR = "ClusterCIDR"
        case nodeCIDR = "NodeCIDR"
        case bridgeInterface = "BridgeInterface"
        case interfaceNamePrefix = "InterfaceNamePrefix"
    }

    /// The addresses that node ports listen on.
    public enum NodePortAddresses: Hashable, Sendable {
        /// The field is empty: what that means depends on the mode (`ModeTraits.defaultNodePortAddresses`).
        case unset
        /// The node's own address of each family.
        case primary
        /// Local addresses in these ranges.
        case cidrs([CIDR])
    }

    public var featureGates: [String: Bool] = [:]
    public var clientConnection = ClientConnection()
    /// `logging.format` and `logging.verbosity`; the rest of the block is kept by no one.
    public var loggingFormat = "text"
    public var loggingVerbosity = 0
    /// Trimmed and in lower case; empty means the host's own name.
    public var hostnameOverride = ""
    public var bindAddress = IPAddress(ipv4: 0)
    /// `IP:port`; empty switches the server off, which only a flag can: in a file an empty one means the default.
    public var healthzBindAddress = "0.0.0.0:10256"
    public var metricsBindAddress = "127.0.0.1:10249"
    public var bindAddressHardFail = false
    public var enableProfiling = false
    public var showHiddenMetricsForVersion = ""
    public var mode = ProxyMode.iptables
    public var iptables = IPTables()
    public var ipvs = IPVS()
    public var nftables = NFTables()
    public var winkernel = WinKernel()
    public var detectLocalMode = DetectLocalMode.clusterCIDR
    public var bridgeInterface = ""
    public var interfaceNamePrefix = ""
    /// At most one range of each family.
    public var clusterCIDRs: [CIDR] = []
    public var nodePortAddresses = NodePortAddresses.unset
    public var oomScoreAdj = -999
    public var conntrack = Conntrack()
    public var configSyncPeriod = Duration.seconds(900)
    public var portRange = ""
    public var windowsRunAsService = false

    public init() {}

    /// False if the gate AllowServiceExternalIPs is switched off: `externalIPs` are then ignored.
    public var allowsServiceExternalIPs: Bool { featureGates["AllowServiceExternalIPs"] ?? true }
}
