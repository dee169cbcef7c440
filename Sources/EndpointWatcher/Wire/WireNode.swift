import ProxyCore

/// The fields of a Node that are read, as the API spells them.
package struct WireNode: Decodable, Sendable {
    package struct Spec: Decodable, Sendable {
        package var podCIDR: Lenient<String> = .missing
        package var podCIDRs: Lenient<[Lenient<String>]> = .missing

        package init() {}
    }

    package struct Status: Decodable, Sendable {
        package struct Address: Decodable, Sendable {
            package var type: String?
            package var address: String?

            package init() {}
        }

        package var addresses: Lenient<[Lenient<Address>]> = .missing

        package init() {}
    }

    package var metadata: Lenient<WireMetadata> = .missing
    package var spec: Lenient<Spec> = .missing
    package var status: Lenient<Status> = .missing

    package init() {}

    /// The Node; a fault in it refuses the input, for every rule depends on the node.
    func node(_ faults: inout [InputFault]) -> Node? {
        let metadata = metadata.get(or: WireMetadata(), &faults, severity: .error)
        guard let metadata, let name = metadata.clusterName(&faults) else { return nil }
        var node = Node(name: name)
        let labels = metadata.labels.get(or: nil, &faults, severity: .error)
        node.zone = labels?.zone.get(or: nil, &faults, severity: .error) ?? ""
        if let spec = spec.get(or: nil, &faults, severity: .error) {
            let list = spec.podCIDRs.get(or: nil, &faults, severity: .error) ?? []
            node.podCIDRs = WireServiceCIDR.cidrs(list, ["spec", "podCIDRs"], &faults)
            // The older field repeats the first of the list.
            if list.isEmpty {
                node.podCIDRs = WireServiceCIDR.cidrs([spec.podCIDR], ["spec", "podCIDR"], &faults)
            }
        }
        let status = status.get(or: nil, &faults, severity: .error)
        let addresses = status?.addresses.get(or: nil, &faults, severity: .error) ?? []
        for (index, item) in addresses.enumerated() {
            guard let item = item.get(or: nil, &faults, severity: .error) else { continue }
            guard item.type == "InternalIP" || item.type == "ExternalIP" else { continue }
            guard let address = IPAddress(item.address ?? "") else {
                faults.append(
                    InputFault(
                        .error, ["status", "addresses", .index(index), "address"], "is not an IP address",
                        value: .text("\"\((item.address ?? "").printable())\"")))
                continue
            }
            if item.type == "InternalIP" { node.internalIPs.append(address) } else { node.externalIPs.append(address) }
        }
        return node
    }
}

/// The fields of a ServiceCIDR that are read, as the API spells them.
package struct WireServiceCIDR: Decodable, Sendable {
    package struct Spec: Decodable, Sendable {
        package var cidrs: Lenient<[Lenient<String>]> = .missing

        package init() {}
    }

    package var metadata: Lenient<WireMetadata> = .missing
    package var spec: Lenient<Spec> = .missing

    package init() {}

    /// The ServiceCIDR; a fault in it refuses the input.
    func serviceCIDR(_ faults: inout [InputFault]) -> ServiceCIDR? {
        let metadata = metadata.get(or: WireMetadata(), &faults, severity: .error)
        guard let metadata, let name = metadata.clusterName(&faults) else { return nil }
        let spec = spec.get(or: nil, &faults, severity: .error)
        let list = spec?.cidrs.get(or: nil, &faults, severity: .error) ?? []
        return ServiceCIDR(name: name, cidrs: Self.cidrs(list, ["spec", "cidrs"], &faults))
    }

    /// The ranges of a list, or of the one field at `path` if the path does not name a list.
    fileprivate static func cidrs(
        _ list: [Lenient<String>], _ path: [InputFault.PathStep], _ faults: inout [InputFault]
    ) -> [CIDR] {
        var cidrs: [CIDR] = []
        for (index, item) in list.enumerated() {
            guard let text = item.get(or: nil, &faults, severity: .error), !text.isEmpty else { continue }
            if let cidr = CIDR(text) {
                cidrs.append(cidr)
            } else {
                let steps = path.last == "podCIDR" ? path : path + [.index(index)]
                faults.append(
                    InputFault(.error, steps, "is not a CIDR", value: .text("\"\(text.printable())\"")))
            }
        }
        return cidrs
    }
}
