/// One change of one object, as a watcher reports it.
public enum ObjectChange: Hashable, Sendable {
    case service(Service)
    case serviceDeleted(ObjectName)
    case endpointSlice(EndpointSlice)
    case endpointSliceDeleted(ObjectName)
    case node(Node)
    case nodeDeleted(String)
    case serviceCIDR(ServiceCIDR)
    case serviceCIDRDeleted(String)
}
