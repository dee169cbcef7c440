extension ProxyConfiguration {
    /// Checks what the types do not: ranges, fields that a mode requires, and texts that go into rules.
    ///
    /// Call it again after flags have gone over a file.
    public func validate() -> [InputFault] {
        var faults: [InputFault] = []
        validateSync("iptables", iptables.syncPeriod, iptables.minSyncPeriod, &faults)
        validateSync("ipvs", ipvs.syncPeriod, ipvs.minSyncPeriod, &faults)
        validateSync("nftables", nftables.syncPeriod, nftables.minSyncPeriod, &faults)
        Self.check(
            configSyncPeriod > .zero, ["configSyncPeriod"], configSyncPeriod.goDescription, "is not above zero", &faults
        )
        for (block, bit) in [("iptables", iptables.masqueradeBit), ("nftables", nftables.masqueradeBit)] {
            Self.check((0...31).contains(bit), [.key(block), "masqueradeBit"], bit, "is not between 0 and 31", &faults)
        }
        let timeouts: [([InputFault.PathStep], Duration)] = [
            (["ipvs", "tcpTimeout"], ipvs.tcpTimeout), (["ipvs", "tcpFinTimeout"], ipvs.tcpFinTimeout),
            (["ipvs", "udpTimeout"], ipvs.udpTimeout),
            (["conntrack", "tcpEstablishedTimeout"], conntrack.tcpEstablishedTimeout),
            (["conntrack", "tcpCloseWaitTimeout"], conntrack.tcpCloseWaitTimeout),
            (["conntrack", "udpTimeout"], conntrack.udpTimeout),
            (["conntrack", "udpStreamTimeout"], conntrack.udpStreamTimeout),
        ]
        for (path, timeout) in timeouts {
            Self.check(timeout >= .zero, path, timeout.goDescription, "is below zero", &faults)
        }
        for (key, number) in [("maxPerCore", conntrack.maxPerCore), ("min", conntrack.min)] {
            Self.check(number >= 0, ["conntrack", .key(key)], number, "is below zero", &faults)
        }
        Self.check(
            clientConnection.qps.isFinite, ["clientConnection", "qps"], clientConnection.qps, "is not a number", &faults
        )
        Self.check(
            clientConnection.burst >= 0, ["clientConnection", "burst"], clientConnection.burst, "is below zero", &faults
        )
        Self.check(
            (-1000...1000).contains(oomScoreAdj), ["oomScoreAdj"], oomScoreAdj, "is not between -1000 and 1000", &faults
        )
        validateAddresses(&faults)
        validateNames(&faults)
        return faults
    }

    private func validateSync(
        _ block: String, _ period: Duration, _ minimum: Duration, _ faults: inout [InputFault]
    ) {
        let path: [InputFault.PathStep] = [.key(block), "minSyncPeriod"]
        Self.check(period > .zero, [.key(block), "syncPeriod"], period.goDescription, "is not above zero", &faults)
        Self.check(minimum >= .zero, path, minimum.goDescription, "is below zero", &faults)
        Self.check(
            minimum <= period || period <= .zero, path, minimum.goDescription,
            "is longer than \(block).syncPeriod (\(period.goDescription))",
            &faults)
    }

    private func validateAddresses(_ faults: inout [InputFault]) {
        let expected = "is not an IP address and a port from 1 to 65535"
        // Empty switches the health server off; the metrics server cannot be switched off.
        Self.check(
            healthzBindAddress.isEmpty || Self.isHostAndPort(healthzBindAddress), ["healthzBindAddress"],
            "\"\(healthzBindAddress.printable())\"", expected, &faults)
        Self.check(
            Self.isHostAndPort(metricsBindAddress), ["metricsBindAddress"],
            "\"\(metricsBindAddress.printable())\"", expected, &faults)
        for family in IPFamily.allCases where clusterCIDRs.filter({ $0.family == family }).count > 1 {
            faults.append(
                InputFault(
                    .error, ["clusterCIDR"], "has more than one range of \(family.rawValue)",
                    value: .text("\"\(clusterCIDRs.map(\.description).joined(separator: ","))\"")))
        }
    }

    private func validateNames(_ faults: inout [InputFault]) {
        let names: [(key: String, value: String, mode: DetectLocalMode)] = [
            ("bridgeInterface", bridgeInterface, .bridgeInterface),
            ("interfaceNamePrefix", interfaceNamePrefix, .interfaceNamePrefix),
        ]
        for (key, value, mode) in names {
            let path: [InputFault.PathStep] = ["detectLocal", .key(key)]
            if value.isEmpty {
                guard detectLocalMode == mode else { continue }
                faults.append(
                    InputFault(
                        .error, path, "is empty, and detectLocalMode \(mode.rawValue) requires it", value: .none))
            } else {
                Self.check(
                    Self.isInterfaceName(value), path, "\"\(value.printable())\"",
                    "is not 1 to 15 bytes without white space, quotes, slashes, backslashes and control characters",
                    &faults)
            }
        }
        let isScheduler = ipvs.scheduler.isEmpty || ObjectName.isValid(ipvs.scheduler, limit: 15)
        Self.check(
            isScheduler, ["ipvs", "scheduler"], "\"\(ipvs.scheduler.printable())\"",
            "is not the name of a scheduler", &faults)
    }

    private static func check(
        _ holds: Bool, _ path: [InputFault.PathStep], _ value: some CustomStringConvertible, _ sentence: String,
        _ faults: inout [InputFault]
    ) {
        if !holds { faults.append(InputFault(.error, path, sentence, value: .text(value.description))) }
    }

    /// True if the text can go into a rule as an interface name: the kernel's limit is IFNAMSIZ, 16 bytes with the
    /// closing zero.
    private static func isInterfaceName(_ text: String) -> Bool {
        (1...15).contains(text.utf8.count)
            && text.unicodeScalars.allSatisfy { scalar in
                scalar.value > 32 && !(127..<160).contains(scalar.value) && !"\"'`/\\".unicodeScalars.contains(scalar)
                    && !scalar.properties.isWhitespace
            }
    }

    /// True for `IP:port`, with an IPv6 address in brackets.
    private static func isHostAndPort(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":") else { return false }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return false }
        } else if host.contains(":") {
            return false
        }
        let port = text[text.index(after: colon)...]
        guard IPAddress(String(host)) != nil, port.utf8.allSatisfy({ (48...57).contains($0) }),
            let number = UInt16(port)
        else { return false }
        return number > 0
    }
}
