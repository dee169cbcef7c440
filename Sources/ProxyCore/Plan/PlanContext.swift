/// What all plans of a family on a node depend on, beside the objects.
public struct PlanContext: Hashable, Sendable {
    public var family: IPFamily
    public var traits: ModeTraits
    public var nodeName: String
    /// The node's zone, empty if it has none.
    public var zone: String
    /// The node's own address in the family; loopback if it is not known.
    public var nodeIP: IPAddress
    public var masqueradeAll: Bool
    /// False if nothing tells this cluster's pods from other sources.
    public var detectsLocalTraffic: Bool
    public var allowsExternalIPs: Bool
}
