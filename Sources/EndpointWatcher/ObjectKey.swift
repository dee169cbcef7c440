package import ProxyCore

/// What identifies an object of a kind that is read.
package enum ObjectKey: Hashable, Sendable {
    case service(ObjectName)
    case endpointSlice(ObjectName)
    case node(String)
    case serviceCIDR(String)

    /// The change that says that the object is gone.
    package var deletion: ObjectChange {
        switch self {
        case .service(let name): .serviceDeleted(name)
        case .endpointSlice(let name): .endpointSliceDeleted(name)
        case .node(let name): .nodeDeleted(name)
        case .serviceCIDR(let name): .serviceCIDRDeleted(name)
        }
    }
}

extension ObjectKey: Comparable, CustomStringConvertible {
    /// By kind, then by name.
    package static func < (left: Self, right: Self) -> Bool { left.description < right.description }

    /// `Service default/web`
    package var description: String {
        switch self {
        case .service(let name): "Service \(name)"
        case .endpointSlice(let name): "EndpointSlice \(name)"
        case .node(let name): "Node \(name)"
        case .serviceCIDR(let name): "ServiceCIDR \(name)"
        }
    }
}

extension ObjectChange {
    /// What identifies the object that is changed.
    package var key: ObjectKey {
        switch self {
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
}
