import ProxyCore

/// What identifies an object among all objects.
enum ObjectIdentity: Hashable {
    case service(ObjectName)
    case endpointSlice(ObjectName)
    case node(String)
    case serviceCIDR(String)

    /// The object that a change is about.
    init(_ change: ObjectChange) {
        self =
            switch change {
            case .service(let service): .service(service.name)
            case .serviceDeleted(let name): .service(name)
            case .endpointSlice(let slice): .endpointSlice(slice.name)
            case .endpointSliceDeleted(let name): .endpointSlice(name)
            case .node(let node): .node(node.name)
            case .nodeDeleted(let name): .node(name)
            case .serviceCIDR(let range): .serviceCIDR(range.name)
            case .serviceCIDRDeleted(let name): .serviceCIDR(name)
            }
    }

    /// The change that takes the object away.
    var deletion: ObjectChange {
        switch self {
        case .service(let name): .serviceDeleted(name)
        case .endpointSlice(let name): .endpointSliceDeleted(name)
        case .node(let name): .nodeDeleted(name)
        case .serviceCIDR(let name): .serviceCIDRDeleted(name)
        }
    }
}

extension ObjectIdentity: CustomStringConvertible {
    /// The kind and the name: `Service default/web`.
    var description: String {
        switch self {
        case .service(let name): "Service \(name)"
        case .endpointSlice(let name): "EndpointSlice \(name)"
        case .node(let name): "Node \(name)"
        case .serviceCIDR(let name): "ServiceCIDR \(name)"
        }
    }
}
