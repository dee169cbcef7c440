/// A document of kind KubeProxyConfiguration, decoded: the configuration and every fault that was found.
///
/// | field | type | default |
/// |---|---|---|
/// | `apiVersion`, `kind` | string | required: `kubeproxy.config.k8s.io/v1alpha1`, `KubeProxyConfiguration` |
/// | `featureGates` | object of booleans | `{}` |
/// | `clientConnection.kubeconfig`, `.acceptContentTypes` | string | `""` |
/// | `clientConnection.contentType` | string | `application/vnd.kubernetes.protobuf` |
/// | `clientConnection.qps`, `.burst` | number | 5, 10; 0 means the default |
/// | `logging.format`, `.verbosity` | string, number | `text`, 0 |
/// | `hostnameOverride` | string | `""`; trimmed and in lower case |
/// | `bindAddress` | IP address | `0.0.0.0` |
/// | `healthzBindAddress` | IP or IP:port | `0.0.0.0:10256`, or `[::]:10256` for an IPv6 `bindAddress` |
/// | `metricsBindAddress` | IP or IP:port | `127.0.0.1:10249`, or `[::1]:10249` |
/// | `bindAddressHardFail`, `enableProfiling` | boolean | false |
/// | `showHiddenMetricsForVersion` | string | `""` |
/// | `mode` | `iptables`, `ipvs`, `nftables` | `iptables` |
/// | `iptables.masqueradeBit` | 0 to 31 | 14 |
/// | `iptables.masqueradeAll`, `.localhostNodePorts` | boolean | false, true |
/// | `iptables.syncPeriod`, `.minSyncPeriod` | duration | `30s`, `1s`; `0s` means the default |
/// | `ipvs.syncPeriod`, `.minSyncPeriod` | duration | `30s` (also for `0s`), `0s` |
/// | `ipvs.scheduler` | string | `""`, which is `rr` |
/// | `ipvs.excludeCIDRs` | CIDRs | none |
/// | `ipvs.strictARP` | boolean | false |
/// | `ipvs.tcpTimeout`, `.tcpFinTimeout`, `.udpTimeout` | duration | `0s`, which keeps the kernel's |
/// | `nftables.masqueradeBit`, `.masqueradeAll`, `.syncPeriod`, `.minSyncPeriod` | as for iptables | as for iptables |
/// | `winkernel.networkName`, `.sourceVip`, `.rootHnsEndpointName` | string | `""` |
/// | `winkernel.enableDSR`, `.forwardHealthCheckVip` | boolean | false |
/// | `detectLocalMode` | `ClusterCIDR`, `NodeCIDR`, `BridgeInterface`, `InterfaceNamePrefix` | `ClusterCIDR` |
/// | `detectLocal.bridgeInterface`, `.interfaceNamePrefix` | string | `""` |
/// | `clusterCIDR` | one CIDR, or two of different families with a comma | none |
/// | `nodePortAddresses` | CIDRs, or the one word `primary` | depends on the mode |
/// | `oomScoreAdj` | -1000 to 1000 | -999 |
/// | `conntrack.maxPerCore`, `.min` | number | 32768, 131072 |
/// | `conntrack.tcpEstablishedTimeout`, `.tcpCloseWaitTimeout` | duration | `24h`, `1h` |
/// | `conntrack.tcpBeLiberal` | boolean | false |
/// | `conntrack.udpTimeout`, `.udpStreamTimeout` | duration | `0s` |
/// | `configSyncPeriod` | duration | `15m`, also for `0s` |
/// | `portRange`, `windowsRunAsService` | string, boolean | `""`, false; kept, used by no one |
///
/// A field that is null, or empty where it has a form of its own, has its default.
public struct KubeProxyConfiguration: Decodable, Sendable {
    public static let apiVersion = "kubeproxy.config.k8s.io/v1alpha1"
    public static let kind = "KubeProxyConfiguration"

    /// With defaults where fields are missing or faulty.
    public private(set) var configuration = ProxyConfiguration()
    /// Ill-typed and unknown fields, and what `ProxyConfiguration.validate()` found.
    public private(set) var faults: [InputFault] = []

    public init(from decoder: any Decoder) throws {
        var reader = FieldReader(try decoder.container(keyedBy: AnyKey.self))
        let apiVersion = reader.read("apiVersion", as: String.self)
        let kind = reader.read("kind", as: String.self)
        guard apiVersion == Self.apiVersion, kind == Self.kind else {
            // Another kind of document: its fields would all be reported as unknown.
            if reader.faults.isEmpty {
                if kind != Self.kind {
                    reader.report(
                        "kind", kind, kind == nil ? "is missing; it must be \(Self.kind)" : "is not \(Self.kind)")
                }
                if apiVersion != Self.apiVersion {
                    reader.report(
                        "apiVersion", apiVersion,
                        apiVersion == nil ? "is missing; it must be \(Self.apiVersion)" : "is not \(Self.apiVersion)")
                }
            }
            faults = reader.faults
            return
        }
        readGeneral(&reader)
        readModes(&reader)
        readDetectLocal(&reader)
        readNode(&reader)
        // A field that could not be read has its default, which can be at fault only beside another field: that one
        // fault would hide behind the other anyway.
        let unread = reader.finish()
        let paths = Set(unread.filter { $0.severity == .error }.map(\.path))
        faults = unread + configuration.validate().filter { !paths.contains($0.path) }
    }

    private mutating func readGeneral(_ reader: inout FieldReader) {
        reader.read("featureGates", into: &configuration.featureGates)
        for gate in configuration.featureGates.keys.sorted() where !Self.featureGates.contains(gate) {
            reader.report(
                "featureGates", nil, "the gate \"\(gate.printable())\" is not known; it has no effect",
                severity: .warning)
        }
        reader.readObject("clientConnection") { reader in
            reader.read("kubeconfig", into: &configuration.clientConnection.kubeconfig)
            reader.read("acceptContentTypes", into: &configuration.clientConnection.acceptContentTypes)
            reader.read("contentType", into: &configuration.clientConnection.contentType, expected: "") { $0 }
            if let qps = reader.read("qps", as: Double.self), qps != 0 { configuration.clientConnection.qps = qps }
            if let burst = reader.read("burst", as: Int.self), burst != 0 {
                configuration.clientConnection.burst = burst
            }
        }
        reader.readObject("logging") { reader in
            reader.read("format", into: &configuration.loggingFormat, expected: "") { $0 }
            reader.read("verbosity", into: &configuration.loggingVerbosity)
            reader.ignore("flushFrequency", "options", "vmodule")
        }
        if let name = reader.read("hostnameOverride", as: String.self) {
            configuration.hostnameOverride = Self.nodeName(name)
        }
        reader.read("bindAddress", into: &configuration.bindAddress, expected: "an IP address") { IPAddress($0) }
        configuration.applyBindAddress()
        if let address = reader.read("healthzBindAddress", as: String.self), !address.isEmpty {
            configuration.healthzBindAddress = ProxyConfiguration.appendingPort(10256, to: address)
        }
        if let address = reader.read("metricsBindAddress", as: String.self), !address.isEmpty {
            configuration.metricsBindAddress = ProxyConfiguration.appendingPort(10249, to: address)
        }
        reader.read("bindAddressHardFail", into: &configuration.bindAddressHardFail)
        reader.read("enableProfiling", into: &configuration.enableProfiling)
        reader.read("showHiddenMetricsForVersion", into: &configuration.showHiddenMetricsForVersion)
        reader.readDuration("configSyncPeriod", into: &configuration.configSyncPeriod, zeroIsUnset: true)
    }

    private mutating func readModes(_ reader: inout FieldReader) {
        reader.read("mode", into: &configuration.mode, expected: "iptables, ipvs or nftables") {
            ProxyMode(rawValue: $0)
        }
        reader.readObject("iptables") { reader in
            reader.read("masqueradeBit", into: &configuration.iptables.masqueradeBit)
            reader.read("masqueradeAll", into: &configuration.iptables.masqueradeAll)
            reader.read("localhostNodePorts", into: &configuration.iptables.localhostNodePorts)
            reader.readDuration("syncPeriod", into: &configuration.iptables.syncPeriod, zeroIsUnset: true)
            reader.readDuration("minSyncPeriod", into: &configuration.iptables.minSyncPeriod, zeroIsUnset: true)
        }
        reader.readObject("ipvs") { reader in
            reader.readDuration("syncPeriod", into: &configuration.ipvs.syncPeriod, zeroIsUnset: true)
            reader.readDuration("minSyncPeriod", into: &configuration.ipvs.minSyncPeriod)
            reader.read("scheduler", into: &configuration.ipvs.scheduler)
            configuration.ipvs.excludeCIDRs = reader.readCIDRs("excludeCIDRs")
            reader.read("strictARP", into: &configuration.ipvs.strictARP)
            reader.readDuration("tcpTimeout", into: &configuration.ipvs.tcpTimeout)
            reader.readDuration("tcpFinTimeout", into: &configuration.ipvs.tcpFinTimeout)
            reader.readDuration("udpTimeout", into: &configuration.ipvs.udpTimeout)
        }
        reader.readObject("nftables") { reader in
            reader.read("masqueradeBit", into: &configuration.nftables.masqueradeBit)
            reader.read("masqueradeAll", into: &configuration.nftables.masqueradeAll)
            reader.readDuration("syncPeriod", into: &configuration.nftables.syncPeriod, zeroIsUnset: true)
            reader.readDuration("minSyncPeriod", into: &configuration.nftables.minSyncPeriod, zeroIsUnset: true)
        }
        reader.readObject("winkernel") { reader in
            reader.read("networkName", into: &configuration.winkernel.networkName)
            reader.read("sourceVip", into: &configuration.winkernel.sourceVip)
            reader.read("enableDSR", into: &configuration.winkernel.enableDSR)
            reader.read("rootHnsEndpointName", into: &configuration.winkernel.rootHnsEndpointName)
            reader.read("forwardHealthCheckVip", into: &configuration.winkernel.forwardHealthCheckVip)
        }
    }

    private mutating func readDetectLocal(_ reader: inout FieldReader) {
        let modes = "ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix"
        reader.read("detectLocalMode", into: &configuration.detectLocalMode, expected: modes) {
            ProxyConfiguration.DetectLocalMode(rawValue: $0)
        }
        reader.readObject("detectLocal") { reader in
            reader.read("bridgeInterface", into: &configuration.bridgeInterface)
            reader.read("interfaceNamePrefix", into: &configuration.interfaceNamePrefix)
        }
        let expected = "one CIDR, or two with a comma between"
        reader.read("clusterCIDR", into: &configuration.clusterCIDRs, expected: expected) { text in
            let parts = text.split(separator: ",", omittingEmptySubsequences: false)
            let cidrs = parts.compactMap { CIDR(String($0)) }
            return cidrs.count == parts.count ? cidrs : nil
        }
    }

    private mutating func readNode(_ reader: inout FieldReader) {
        let addresses = reader.read("nodePortAddresses", as: [String].self) ?? []
        if addresses == ["primary"] {
            configuration.nodePortAddresses = .primary
        } else if !addresses.isEmpty {
            var cidrs: [CIDR] = []
            for (index, text) in addresses.enumerated() {
                if let cidr = CIDR(text) {
                    cidrs.append(cidr)
                } else if text == "primary" {
                    reader.report("nodePortAddresses", index: index, text, "must stand alone, with no CIDR beside it")
                } else {
                    reader.report("nodePortAddresses", index: index, text, "is neither a CIDR nor the word primary")
                }
            }
            configuration.nodePortAddresses = .cidrs(cidrs)
        }
        reader.read("oomScoreAdj", into: &configuration.oomScoreAdj)
        reader.readObject("conntrack") { reader in
            reader.read("maxPerCore", into: &configuration.conntrack.maxPerCore)
            reader.read("min", into: &configuration.conntrack.min)
            reader.readDuration("tcpEstablishedTimeout", into: &configuration.conntrack.tcpEstablishedTimeout)
            reader.readDuration("tcpCloseWaitTimeout", into: &configuration.conntrack.tcpCloseWaitTimeout)
            reader.read("tcpBeLiberal", into: &configuration.conntrack.tcpBeLiberal)
            reader.readDuration("udpTimeout", into: &configuration.conntrack.udpTimeout)
            reader.readDuration("udpStreamTimeout", into: &configuration.conntrack.udpStreamTimeout)
        }
        reader.read("portRange", into: &configuration.portRange)
        reader.read("windowsRunAsService", into: &configuration.windowsRunAsService)
    }

    /// Every gate that kube-proxy 1.36 has, whether or not it changes anything here.
    private static let featureGates: Set<String> = [
        "AllAlpha", "AllBeta", "AllowServiceExternalIPs", "ComponentFlagz", "ComponentStatusz", "ContextualLogging",
        "LoggingAlphaOptions", "LoggingBetaOptions", "MultiCIDRServiceAllocator", "NFTablesProxyMode",
        "NativeHistograms", "PreferSameTrafficDistribution", "WinDSR", "WinOverlay",
    ]

    /// The name trimmed and in lower case.
    private static func nodeName(_ text: String) -> String {
        var name = Substring(text)
        while name.first?.isWhitespace == true { name.removeFirst() }
        while name.last?.isWhitespace == true { name.removeLast() }
        return name.lowercased()
    }
}

extension ProxyConfiguration {
    /// Sets the addresses of the two servers to their defaults for the family of `bindAddress`.
    package mutating func applyBindAddress() {
        let isIPv4 = bindAddress.family == .ipv4
        healthzBindAddress = isIPv4 ? "0.0.0.0:10256" : "[::]:10256"
        metricsBindAddress = isIPv4 ? "127.0.0.1:10249" : "[::1]:10249"
    }

    /// `IP:port` for an address without a port; anything else is left as it is.
    package static func appendingPort(_ port: UInt16, to text: String) -> String {
        guard let address = IPAddress(text) else { return text }
        return text.contains(":") || address.family == .ipv6 ? "[\(text)]:\(port)" : "\(text):\(port)"
    }
}
