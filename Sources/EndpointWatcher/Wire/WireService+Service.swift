import ProxyCore

extension WireService {
    /// The Service, without the parts that are at fault; nil if it has to be left out.
    func service(_ faults: inout [InputFault]) -> Service? {
        let lost = "the Service is left out"
        guard let metadata = metadata.get(or: WireMetadata(), &faults, else: lost),
            let name = metadata.objectName(limit: 63, &faults, else: lost),
            let spec = spec.get(or: Spec(), &faults, else: lost),
            let kind = Self.kind(spec.type, &faults)
        else { return nil }
        var service = Service(name: name)
        service.kind = kind
        let labels = metadata.labels.get(or: nil, &faults, else: "the labels are ignored")
        service.isForAnotherProxy = labels.map { !$0.proxy.isMissing } ?? false
        service.clusterIPs = spec.addressesOfCluster(&faults)
        service.ports = spec.servicePorts(&faults)
        service.externalIPs = Self.addresses(
            spec.externalIPs, ["spec", "externalIPs"], &faults, else: "the external IPs are left out")
        service.loadBalancerIPs = addressesOfLoadBalancer(&faults)
        spec.readSourceRanges(into: &service, &faults)
        spec.readPolicies(into: &service, &faults)
        return service
    }

    private static func kind(_ type: Lenient<String>, _ faults: inout [InputFault]) -> Service.Kind? {
        guard let text = type.get(or: "", &faults, else: "the Service is left out") else { return nil }
        if text.isEmpty { return .clusterIP }
        if let kind = Service.Kind(rawValue: text) { return kind }
        faults.append(
            .warning(["spec", "type"], text, "is not a known type of Service; the Service is left out"))
        return nil
    }

    /// The addresses of a list that parse; empty ones are borne.
    fileprivate static func addresses(
        _ list: Lenient<[Lenient<String>]>, _ path: [InputFault.PathStep], _ faults: inout [InputFault],
        else consequence: String
    ) -> [IPAddress] {
        var addresses: [IPAddress] = []
        for (index, item) in (list.get(or: nil, &faults, else: consequence) ?? []).enumerated() {
            guard let text = item.get(or: nil, &faults, else: "the address is left out"), !text.isEmpty else {
                continue
            }
            if let address = IPAddress(text) {
                addresses.append(address)
            } else {
                faults.append(
                    .warning(path + [.index(index)], text, "is not an IP address; the address is left out"))
            }
        }
        return addresses
    }

    /// The load balancer's addresses of mode VIP; host names and addresses of mode Proxy are not for the node.
    private func addressesOfLoadBalancer(_ faults: inout [InputFault]) -> [IPAddress] {
        let lost = "the load-balancer IPs are left out"
        guard let status = status.get(or: nil, &faults, else: lost),
            let balancer = status.loadBalancer.get(or: nil, &faults, else: lost),
            let ingress = balancer.ingress.get(or: nil, &faults, else: lost)
        else { return [] }
        var addresses: [IPAddress] = []
        for (index, item) in ingress.enumerated() {
            guard let item = item.get(or: nil, &faults, else: "the load-balancer IP is left out"),
                let text = item.ip, !text.isEmpty, item.ipMode != "Proxy"
            else { continue }
            let path: [InputFault.PathStep] = ["status", "loadBalancer", "ingress", .index(index)]
            if let mode = item.ipMode, !mode.isEmpty, mode != "VIP" {
                faults.append(
                    .warning(path + ["ipMode"], mode, "is neither VIP nor Proxy; the load-balancer IP is left out"))
            } else if let address = IPAddress(text) {
                addresses.append(address)
            } else {
                faults.append(
                    .warning(path + ["ip"], text, "is not an IP address; the load-balancer IP is left out"))
            }
        }
        return addresses
    }
}

extension WireService.Spec {
    /// The cluster IP of each family. "None" and nothing make a headless Service.
    fileprivate func addressesOfCluster(_ faults: inout [InputFault]) -> [IPAddress] {
        let families = ipFamilies.get(
            or: nil, &faults, else: "the families of the cluster IPs are taken from spec.clusterIP")
        guard let families, !families.isEmpty else {
            return address(of: clusterIP, nil, ["spec", "clusterIP"], &faults).map { [$0] } ?? []
        }
        let given = clusterIPs.get(or: nil, &faults, else: "the list is ignored") ?? []
        var addresses: [IPAddress] = []
        for (index, item) in families.enumerated() {
            let path: [InputFault.PathStep] = ["spec", "ipFamilies", .index(index)]
            let lost = "the cluster IP at the same place is left out"
            guard let text = item.get(or: "", &faults, else: lost) else { continue }
            guard let family = IPFamily(rawValue: text) else {
                faults.append(.warning(path, text, "is neither IPv4 nor IPv6; \(lost)"))
                continue
            }
            guard !addresses.contains(where: { $0.family == family }) else { continue }
            var found: IPAddress?
            if given.indices.contains(index) {
                found = address(of: given[index], family, ["spec", "clusterIPs", .index(index)], &faults)
            } else if given.isEmpty, families.count == 1 {
                found = address(of: clusterIP, family, ["spec", "clusterIP"], &faults)
            }
            if let found { addresses.append(found) }
        }
        return addresses
    }

    private func address(
        of field: Lenient<String>, _ family: IPFamily?, _ path: [InputFault.PathStep], _ faults: inout [InputFault]
    ) -> IPAddress? {
        let lost = "the cluster IP is left out"
        guard let text = field.get(or: nil, &faults, else: lost), !text.isEmpty, text != "None" else { return nil }
        guard let address = IPAddress(text) else {
            faults.append(.warning(path, text, "is not an IP address; \(lost)"))
            return nil
        }
        if let family, address.family != family {
            faults.append(
                .warning(path, text, "is not an \(family.rawValue) address, as spec.ipFamilies has it; \(lost)"))
            return nil
        }
        return address
    }

    fileprivate func servicePorts(_ faults: inout [InputFault]) -> [Service.Port] {
        var ports: [Service.Port] = []
        let lost = "the port is left out"
        for (index, item) in (self.ports.get(or: nil, &faults, else: "the Service has no ports") ?? []).enumerated() {
            guard let item = item.get(or: nil, &faults, else: lost) else { continue }
            let path: [InputFault.PathStep] = ["spec", "ports", .index(index)]
            let name = item.name ?? ""
            guard name.isEmpty || ObjectName.isValid(name, limit: 63) else {
                faults.append(.warning(path + ["name"], name, "\(WireObject.portNameFault); \(lost)"))
                continue
            }
            // The API's default is TCP.
            let protocolName = item.protocol.flatMap { $0.isEmpty ? nil : $0 } ?? "TCP"
            guard let `protocol` = TransportProtocol(rawValue: protocolName) else {
                faults.append(.warning(path + ["protocol"], protocolName, "is not TCP, UDP or SCTP; \(lost)"))
                continue
            }
            guard let number = item.port?.value else {
                faults.append(InputFault(.warning, path, "has no port number; \(lost)", value: .none))
                continue
            }
            guard let number = UInt16(exactly: number), number > 0 else {
                faults.append(.warning(path + ["port"], number, "is not between 1 and 65535; \(lost)"))
                continue
            }
            guard let nodePort = UInt16(exactly: item.nodePort?.value ?? 0) else {
                faults.append(
                    .warning(path + ["nodePort"], item.nodePort?.value ?? 0, "is not between 0 and 65535; \(lost)"))
                continue
            }
            if let twin = ports.firstIndex(where: { $0.name == name && $0.protocol == `protocol` }) {
                faults.append(
                    InputFault(
                        .warning, path, "has the name and protocol of an earlier port, which is left out",
                        value: .none))
                ports.remove(at: twin)
            }
            ports.append(Service.Port(name: name, protocol: `protocol`, number: number, nodePort: nodePort))
        }
        return ports
    }

    /// Reads the source ranges. A family without ranges is open to everyone, so where a faulty range leaves a family
    /// without any, its load-balancer IPs go too.
    fileprivate func readSourceRanges(into service: inout Service, _ faults: inout [InputFault]) {
        let path: [InputFault.PathStep] = ["spec", "loadBalancerSourceRanges"]
        var suspects: Set<IPFamily> = []
        switch loadBalancerSourceRanges {
        case .missing: return
        case .wrong:
            _ = loadBalancerSourceRanges.get(or: nil, &faults, else: "the source ranges are left out")
            suspects = [.ipv4, .ipv6]
        case .value(let list):
            for (index, item) in list.enumerated() {
                let lost = "the range is left out"
                if case .wrong = item { suspects = [.ipv4, .ipv6] }
                guard let text = item.get(or: nil, &faults, else: lost) else { continue }
                let trimmed = text.trimmed
                if trimmed.isEmpty { continue }
                if let range = CIDR(trimmed) {
                    service.loadBalancerSourceRanges.append(range)
                } else {
                    faults.append(.warning(path + [.index(index)], text, "is not a CIDR; \(lost)"))
                    // What family it was meant for shows in its first separator, if at all.
                    suspects.formUnion(
                        trimmed.contains(":") ? [.ipv6] : trimmed.contains(".") ? [.ipv4] : [.ipv4, .ipv6])
                }
            }
        }
        for family in IPFamily.allCases where suspects.contains(family) {
            guard !service.loadBalancerSourceRanges.contains(where: { $0.family == family }),
                service.loadBalancerIPs.contains(where: { $0.family == family })
            else { continue }
            service.loadBalancerIPs.removeAll { $0.family == family }
            faults.append(
                InputFault(
                    .warning, path,
                    "no \(family.rawValue) range is left, which would open the Service to everyone; its \(family.rawValue) load-balancer IPs are left out",
                    value: .none))
        }
    }

    fileprivate func readPolicies(into service: inout Service, _ faults: inout [InputFault]) {
        let external = Self.policy(externalTrafficPolicy, "externalTrafficPolicy", &faults)
        // Only what can be reached from outside has an external policy.
        let isExternal =
            switch service.kind {
            case .nodePort, .loadBalancer: true
            case .clusterIP: !service.externalIPs.isEmpty
            case .externalName: false
            }
        if isExternal { service.externalTrafficPolicy = external }
        service.internalTrafficPolicy = Self.policy(internalTrafficPolicy, "internalTrafficPolicy", &faults)
        if let number = healthCheckNodePort.get(or: nil, &faults, else: "the Service has no health-check port") {
            if let port = UInt16(exactly: number) {
                if service.kind == .loadBalancer, external == .local { service.healthCheckNodePort = port }
            } else {
                let sentence = "is not between 0 and 65535; the Service has no health-check port"
                faults.append(.warning(["spec", "healthCheckNodePort"], number, sentence))
            }
        }
        switch sessionAffinity.get(or: nil, &faults, else: "the Service has no session affinity") ?? "None" {
        case "None", "": break
        case "ClientIP": service.affinitySeconds = affinitySeconds(&faults)
        case let text:
            faults.append(
                .warning(
                    ["spec", "sessionAffinity"], text,
                    "is neither ClientIP nor None; the Service has no session affinity"))
        }
    }

    private static func policy(
        _ field: Lenient<String>, _ key: String, _ faults: inout [InputFault]
    ) -> Service.TrafficPolicy {
        guard let text = field.get(or: nil, &faults, else: "the policy is Cluster"), !text.isEmpty else {
            return .cluster
        }
        if let policy = Service.TrafficPolicy(rawValue: text) { return policy }
        faults.append(.warning(["spec", .key(key)], text, "is neither Cluster nor Local; the policy is Cluster"))
        return .cluster
    }

    private func affinitySeconds(_ faults: inout [InputFault]) -> Int {
        let fallback = 10_800
        let lost = "it is \(fallback)"
        let clientIP = sessionAffinityConfig.get(or: nil, &faults, else: "the timeout is \(fallback)")?
            .clientIP.get(or: nil, &faults, else: "the timeout is \(fallback)")
        guard let seconds = clientIP?.timeoutSeconds.get(or: nil, &faults, else: lost) else { return fallback }
        guard (1...86_400).contains(seconds) else {
            let path: [InputFault.PathStep] = ["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"]
            faults.append(.warning(path, seconds, "is not between 1 and 86400; \(lost)"))
            return fallback
        }
        return seconds
    }
}

extension String {
    /// The text without white space at its ends.
    fileprivate var trimmed: String {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(self[first...last])
    }
}
