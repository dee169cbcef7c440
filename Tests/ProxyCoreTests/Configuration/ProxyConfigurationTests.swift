import Foundation
import ProxyCore
import Testing

private let header = #""apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration""#

private func decode(_ fields: String) throws -> KubeProxyConfiguration {
    try JSONDecoder().decode(KubeProxyConfiguration.self, from: Data("{\(header)\(fields)}".utf8))
}

@Suite("ProxyConfiguration")
struct ProxyConfigurationTests {
    @Test("has its defaults where a file says nothing, null or kubeadm's empty values")
    func defaults() throws {
        #expect(try decode("").configuration == ProxyConfiguration())
        let kubeadm = try decode(
            """
            , "bindAddress": "0.0.0.0", "bindAddressHardFail": false,
            "clientConnection": {"acceptContentTypes": "", "burst": 0, "contentType": "", "kubeconfig": "", "qps": 0},
            "clusterCIDR": "", "configSyncPeriod": "0s",
            "conntrack": {"maxPerCore": null, "min": null, "tcpBeLiberal": false, "tcpCloseWaitTimeout": null,
             "tcpEstablishedTimeout": null, "udpStreamTimeout": "0s", "udpTimeout": "0s"},
            "detectLocal": {"bridgeInterface": "", "interfaceNamePrefix": ""}, "detectLocalMode": "",
            "enableProfiling": false, "healthzBindAddress": "", "hostnameOverride": "",
            "iptables": {"localhostNodePorts": null, "masqueradeAll": false, "masqueradeBit": null,
             "minSyncPeriod": "0s", "syncPeriod": "0s"},
            "ipvs": {"excludeCIDRs": null, "minSyncPeriod": "0s", "scheduler": "", "strictARP": false,
             "syncPeriod": "0s", "tcpFinTimeout": "0s", "tcpTimeout": "0s", "udpTimeout": "0s"},
            "logging": {"flushFrequency": 0, "options": {"json": {"infoBufferSize": "0"}}, "verbosity": 0},
            "metricsBindAddress": "", "mode": "",
            "nftables": {"masqueradeAll": false, "masqueradeBit": null, "minSyncPeriod": "0s", "syncPeriod": "0s"},
            "nodePortAddresses": null, "oomScoreAdj": null, "portRange": "", "showHiddenMetricsForVersion": "",
            "windowsRunAsService": false,
            "winkernel": {"enableDSR": false, "forwardHealthCheckVip": false, "networkName": "",
             "rootHnsEndpointName": "", "sourceVip": ""}
            """)
        #expect(kubeadm.configuration == ProxyConfiguration())
        #expect(kubeadm.faults.isEmpty)
    }

    @Test("reads every field")
    func everyField() throws {
        let decoded = try decode(
            """
            , "featureGates": {"AllowServiceExternalIPs": false},
            "clientConnection": {"kubeconfig": "/k", "acceptContentTypes": "a", "contentType": "b", "qps": 7.5, "burst": 8},
            "logging": {"format": "json", "verbosity": 4}, "hostnameOverride": " Node1\\n", "bindAddress": "fd00::1",
            "healthzBindAddress": "fd00::2", "metricsBindAddress": "1.2.3.4", "bindAddressHardFail": true,
            "enableProfiling": true, "showHiddenMetricsForVersion": "1.35", "mode": "ipvs",
            "iptables": {"masqueradeBit": 9, "masqueradeAll": true, "localhostNodePorts": false,
             "syncPeriod": "1m30s", "minSyncPeriod": "500ms"},
            "ipvs": {"syncPeriod": "1h0m0s", "minSyncPeriod": "2s", "scheduler": "mh", "excludeCIDRs": ["10.0.0.0/8"],
             "strictARP": true, "tcpTimeout": "1s", "tcpFinTimeout": "2s", "udpTimeout": "3s"},
            "nftables": {"masqueradeBit": 31, "masqueradeAll": true, "syncPeriod": "4s", "minSyncPeriod": "3s"},
            "winkernel": {"networkName": "a", "sourceVip": "b", "enableDSR": true, "rootHnsEndpointName": "c",
             "forwardHealthCheckVip": true},
            "detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"interfaceNamePrefix": "cali", "bridgeInterface": "cni0"},
            "clusterCIDR": "10.0.0.0/8,fd00::/48", "nodePortAddresses": ["10.0.0.0/8", "fd00::/64"], "oomScoreAdj": 5,
            "conntrack": {"maxPerCore": 1, "min": 2, "tcpEstablishedTimeout": "1s", "tcpCloseWaitTimeout": "2s",
             "tcpBeLiberal": true, "udpTimeout": "3s", "udpStreamTimeout": "4s"},
            "configSyncPeriod": "1s", "portRange": "1-2", "windowsRunAsService": true
            """)
        #expect(decoded.faults.isEmpty)
        var expected = ProxyConfiguration()
        expected.featureGates = ["AllowServiceExternalIPs": false]
        (expected.clientConnection.kubeconfig, expected.clientConnection.acceptContentTypes) = ("/k", "a")
        (expected.clientConnection.contentType, expected.clientConnection.qps) = ("b", 7.5)
        expected.clientConnection.burst = 8
        (expected.loggingFormat, expected.loggingVerbosity, expected.hostnameOverride) = ("json", 4, "node1")
        expected.bindAddress = try #require(IPAddress("fd00::1"))
        (expected.healthzBindAddress, expected.metricsBindAddress) = ("[fd00::2]:10256", "1.2.3.4:10249")
        (expected.bindAddressHardFail, expected.enableProfiling) = (true, true)
        (expected.showHiddenMetricsForVersion, expected.mode) = ("1.35", .ipvs)
        (expected.iptables.masqueradeBit, expected.iptables.masqueradeAll) = (9, true)
        expected.iptables.localhostNodePorts = false
        (expected.iptables.syncPeriod, expected.iptables.minSyncPeriod) = (.seconds(90), .milliseconds(500))
        (expected.ipvs.syncPeriod, expected.ipvs.minSyncPeriod) = (.seconds(3600), .seconds(2))
        (expected.ipvs.scheduler, expected.ipvs.strictARP) = ("mh", true)
        expected.ipvs.excludeCIDRs = ["10.0.0.0/8"].compactMap { CIDR($0) }
        expected.ipvs.tcpTimeout = .seconds(1)
        (expected.ipvs.tcpFinTimeout, expected.ipvs.udpTimeout) = (.seconds(2), .seconds(3))
        (expected.nftables.masqueradeBit, expected.nftables.masqueradeAll) = (31, true)
        (expected.nftables.syncPeriod, expected.nftables.minSyncPeriod) = (.seconds(4), .seconds(3))
        (expected.winkernel.networkName, expected.winkernel.sourceVip) = ("a", "b")
        (expected.winkernel.enableDSR, expected.winkernel.rootHnsEndpointName) = (true, "c")
        expected.winkernel.forwardHealthCheckVip = true
        expected.detectLocalMode = .interfaceNamePrefix
        (expected.interfaceNamePrefix, expected.bridgeInterface) = ("cali", "cni0")
        expected.clusterCIDRs = ["10.0.0.0/8", "fd00::/48"].compactMap { CIDR($0) }
        expected.nodePortAddresses = .cidrs(["10.0.0.0/8", "fd00::/64"].compactMap { CIDR($0) })
        (expected.oomScoreAdj, expected.conntrack.maxPerCore, expected.conntrack.min) = (5, 1, 2)
        expected.conntrack.tcpEstablishedTimeout = .seconds(1)
        (expected.conntrack.tcpCloseWaitTimeout, expected.conntrack.tcpBeLiberal) = (.seconds(2), true)
        (expected.conntrack.udpTimeout, expected.conntrack.udpStreamTimeout) = (.seconds(3), .seconds(4))
        (expected.configSyncPeriod, expected.portRange) = (.seconds(1), "1-2")
        expected.windowsRunAsService = true
        #expect(decoded.configuration == expected)
        #expect(!decoded.configuration.allowsServiceExternalIPs)
    }

    @Test("follows the family of bindAddress in the addresses of its servers")
    func bindAddress() throws {
        let configuration = try decode(#", "bindAddress": "::""#).configuration
        #expect(configuration.healthzBindAddress == "[::]:10256")
        #expect(configuration.metricsBindAddress == "[::1]:10249")
    }

    @Test("takes the word primary for node ports")
    func primary() throws {
        #expect(try decode(#", "nodePortAddresses": ["primary"]"#).configuration.nodePortAddresses == .primary)
        #expect(try decode(#", "nodePortAddresses": []"#).configuration.nodePortAddresses == .unset)
    }

    @Test("keeps its default beside every fault")
    func faults() throws {
        let decoded = try decode(#", "oomScoreAdj": "x", "mode": "x", "iptables": 5"#)
        #expect(decoded.configuration == ProxyConfiguration())
        #expect(decoded.faults.map(\.path.description).count == 3)
    }

    @Test("switches the health server off by a flag only")
    func healthServer() {
        var configuration = ProxyConfiguration()
        configuration.healthzBindAddress = ""
        #expect(configuration.validate().isEmpty)
        configuration.metricsBindAddress = ""
        #expect(configuration.validate().map(\.path) == [["metricsBindAddress"]])
    }
}

@Suite("Go durations")
struct GoDurationTests {
    @Test(
        "are read as Go reads them",
        arguments: [
            ("30s", 30_000), ("1h0m0s", 3_600_000), ("1m30s", 90_000), ("500ms", 500), ("0s", 0), ("0", 0),
            ("-1.5h", -5_400_000),
            ("+2m", 120_000), (".5s", 500), ("1.s", 1000), ("1000us", 1), ("1000µs", 1), ("1000000ns", 1),
        ])
    func reads(_ text: String, _ milliseconds: Int) {
        #expect(Duration(goDuration: text) == .milliseconds(milliseconds))
    }

    @Test(
        "are refused",
        arguments: [
            "", "-", "1", "s", "1d", "1h 5m", " 1s", "1s ", "1..5s", "1.2.3s", "9223372036854775808ns", "99999999999h",
            "--1s", "1e3s",
            "٣s",
        ])
    func refuses(_ text: String) {
        #expect(Duration(goDuration: text) == nil)
    }

    @Test(
        "are written as Go writes them",
        arguments: [
            (0, "0s"), (500, "500ms"), (1500, "1.5s"), (30_000, "30s"), (90_000, "1m30s"), (3_600_000, "1h0m0s"),
            (-1000, "-1s"),
            (1_001, "1.001s"),
        ])
    func writes(_ milliseconds: Int, _ text: String) {
        #expect(Duration.milliseconds(milliseconds).goDescription == text)
    }
}
