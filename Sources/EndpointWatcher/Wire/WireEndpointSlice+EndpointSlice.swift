import ProxyCore

extension WireEndpointSlice {
    /// The EndpointSlice without the parts that are at fault; nil if it has to be left out or no proxy reads it.
    func endpointSlice(_ pool: inout StringPool, _ faults: inout [InputFault]) -> EndpointSlice? {
        let lost = "the EndpointSlice is left out"
        // Host names are for others, in whatever state the rest is.
        if case .value("FQDN") = addressType { return nil }
        guard let metadata = metadata.get(or: WireMetadata(), &faults, else: lost),
            let name = metadata.objectName(limit: 253, &faults, else: lost),
            let labels = metadata.labels.get(or: nil, &faults, else: lost), labels.headless.isMissing,
            let serviceName = labels.service.get(or: nil, &faults, else: lost), !serviceName.isEmpty
        else { return nil }
        guard ObjectName.isValid(serviceName, limit: 63),
            let service = ObjectName(namespace: name.namespace, name: pool.intern(serviceName))
        else {
            let path: [InputFault.PathStep] = ["metadata", "labels", "kubernetes.io/service-name"]
            faults.append(.warning(path, serviceName, "cannot be the name of a Service; \(lost)"))
            return nil
        }
        guard let type = addressType.get(or: "", &faults, else: lost) else { return nil }
        guard let family = IPFamily(rawValue: type) else {
            faults.append(
                type.isEmpty
                    ? InputFault(.warning, ["addressType"], "is missing; \(lost)", value: .none)
                    : .warning(["addressType"], type, "is not IPv4, IPv6 or FQDN; \(lost)"))
            return nil
        }
        var slice = EndpointSlice(name: name, service: service, family: family)
        slice.ports = slicePorts(&pool, &faults)
        let items = endpoints.get(or: nil, &faults, else: "the EndpointSlice has no endpoints") ?? []
        slice.endpoints.reserveCapacity(items.count)
        for (index, item) in items.enumerated() {
            guard let item = item.get(or: nil, &faults, else: "the endpoint is left out"),
                let endpoint = item.endpoint(at: index, family, &pool, &faults)
            else { continue }
            slice.endpoints.append(endpoint)
        }
        return slice
    }

    private func slicePorts(_ pool: inout StringPool, _ faults: inout [InputFault]) -> [EndpointSlice.Port] {
        var ports: [EndpointSlice.Port] = []
        let lost = "the port is left out"
        let items = self.ports.get(or: nil, &faults, else: "the EndpointSlice has no ports") ?? []
        for (index, item) in items.enumerated() {
            // Without a name or a number, a port is for consumers of another kind.
            guard let item = item.get(or: nil, &faults, else: lost), let name = item.name,
                let number = item.port?.value,
                number != 0
            else { continue }
            let path: [InputFault.PathStep] = ["ports", .index(index)]
            guard name.isEmpty || ObjectName.isValid(name, limit: 63) else {
                faults.append(.warning(path + ["name"], name, "\(WireObject.portNameFault); \(lost)"))
                continue
            }
            guard let protocolName = item.protocol else {
                faults.append(InputFault(.warning, path, "has no protocol; \(lost)", value: .none))
                continue
            }
            guard let `protocol` = TransportProtocol(rawValue: protocolName) else {
                faults.append(.warning(path + ["protocol"], protocolName, "is not TCP, UDP or SCTP; \(lost)"))
                continue
            }
            guard let number = UInt16(exactly: number) else {
                faults.append(.warning(path + ["port"], number, "is not between 1 and 65535; \(lost)"))
                continue
            }
            ports.append(EndpointSlice.Port(name: pool.intern(name), protocol: `protocol`, number: number))
        }
        return ports
    }
}

extension WireEndpointSlice.Endpoint {
    fileprivate func endpoint(
        at index: Int, _ family: IPFamily, _ pool: inout StringPool, _ faults: inout [InputFault]
    ) -> EndpointSlice.Endpoint? {
        let path: [InputFault.PathStep] = ["endpoints", .index(index)]
        let lost = "the endpoint is left out"
        guard let text = addresses?.first else {
            faults.append(InputFault(.warning, path, "has no address; \(lost)", value: .none))
            return nil
        }
        guard let address = IPAddress(text) else {
            faults.append(.warning(path + ["addresses", 0], text, "is not an IP address; \(lost)"))
            return nil
        }
        guard address.family == family else {
            let sentence = "is not an \(family.rawValue) address, as addressType has it; \(lost)"
            faults.append(.warning(path + ["addresses", 0], text, sentence))
            return nil
        }
        var endpoint = EndpointSlice.Endpoint(address: address, nodeName: pool.intern(nodeName ?? ""), conditions: [])
        if conditions?.ready ?? true { endpoint.conditions.insert(.ready) }
        if conditions?.serving ?? true { endpoint.conditions.insert(.serving) }
        if conditions?.terminating ?? false { endpoint.conditions.insert(.terminating) }
        for hint in hints?.forZones ?? [] { if let name = hint.name { endpoint.zoneHints.append(pool.intern(name)) } }
        for hint in hints?.forNodes ?? [] { if let name = hint.name { endpoint.nodeHints.append(pool.intern(name)) } }
        return endpoint
    }
}
