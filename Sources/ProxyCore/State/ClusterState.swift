/// The objects as they are now, and which services changes have touched since somebody last asked.
public struct ClusterState: Sendable {
    public private(set) var services: [ObjectName: Service] = [:]
    public private(set) var nodes: [String: Node] = [:]
    public private(set) var serviceCIDRs: [String: ServiceCIDR] = [:]
    /// The slices of each service, ordered by name.
    private var slices: [ObjectName: [EndpointSlice]] = [:]
    /// The service that each slice belongs to: a label change can move it.
    private var sliceOwners: [ObjectName: ObjectName] = [:]
    private var touched: Set<ObjectName> = []

    public init() {}

    /// The slices of a service, in the order of their names, of both families.
    public func slices(of service: ObjectName) -> [EndpointSlice] { slices[service] ?? [] }

    /// The cluster's ranges of cluster IPs in a family, in the order of their objects' names.
    public func serviceRanges(_ family: IPFamily) -> [CIDR] {
        serviceCIDRs.sorted { $0.key < $1.key }.flatMap(\.value.cidrs).filter { $0.family == family }
    }

    /// Takes a change over. One that changes nothing touches nothing.
    public mutating func apply(_ change: ObjectChange) {
        switch change {
        case .service(let service):
            if services.updateValue(service, forKey: service.name) != service { touched.insert(service.name) }
        case .serviceDeleted(let name):
            if services.removeValue(forKey: name) != nil { touched.insert(name) }
        case .endpointSlice(let slice): set(slice)
        case .endpointSliceDeleted(let name): removeSlice(name)
        case .node(let node): nodes[node.name] = node
        case .nodeDeleted(let name): nodes[name] = nil
        case .serviceCIDR(let cidr): serviceCIDRs[cidr.name] = cidr
        case .serviceCIDRDeleted(let name): serviceCIDRs[name] = nil
        }
    }

    /// The services that changes have touched since the last call.
    ///
    /// A service that was added and removed in between is among them; planning it anew finds nothing changed.
    public mutating func takeTouched() -> Set<ObjectName> {
        defer { touched = [] }
        return touched
    }

    private mutating func set(_ slice: EndpointSlice) {
        if let owner = sliceOwners[slice.name], owner != slice.service { removeSlice(slice.name) }
        sliceOwners[slice.name] = slice.service
        var siblings = slices.removeValue(forKey: slice.service) ?? []
        if let index = siblings.firstIndex(where: { $0.name >= slice.name }) {
            if siblings[index] != slice { touched.insert(slice.service) }
            if siblings[index].name == slice.name {
                siblings[index] = slice
            } else {
                siblings.insert(slice, at: index)
            }
        } else {
            siblings.append(slice)
            touched.insert(slice.service)
        }
        slices[slice.service] = siblings
    }

    private mutating func removeSlice(_ name: ObjectName) {
        guard let owner = sliceOwners.removeValue(forKey: name) else { return }
        touched.insert(owner)
        slices[owner]?.removeAll { $0.name == name }
        if slices[owner]?.isEmpty == true { slices[owner] = nil }
    }
}
