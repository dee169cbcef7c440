/// An EndpointSlice, reduced to what a proxy reads.
///
/// What a field means is told by the Kubernetes API reference, `EndpointSlice` of discovery.k8s.io/v1.
public struct EndpointSlice: Hashable, Sendable {
    /// A port that every endpoint of the slice serves.
    public struct Port: Hashable, Sendable {
        public var name: String
        public var `protocol`: TransportProtocol
        public var number: UInt16

        public init(name: String, protocol: TransportProtocol, number: UInt16) {
            self.name = name
            self.protocol = `protocol`
            self.number = number
        }
    }

    /// The conditions of an endpoint, with the API's defaults applied: no `ready` and no `serving` mean true, no
    /// `terminating` means false.
    public struct Conditions: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let ready = Conditions(rawValue: 1)
        public static let serving = Conditions(rawValue: 2)
        public static let terminating = Conditions(rawValue: 4)
    }

    public struct Endpoint: Hashable, Sendable {
        /// The first of the endpoint's addresses; the others are not used.
        public var address: IPAddress
        /// Empty if the endpoint has none.
        public var nodeName: String
        public var conditions: Conditions
        public var zoneHints: [String]
        public var nodeHints: [String]

        public init(
            address: IPAddress, nodeName: String = "", conditions: Conditions = [.ready, .serving],
            zoneHints: [String] = [], nodeHints: [String] = []
        ) {
            self.address = address
            self.nodeName = nodeName
            self.conditions = conditions
            self.zoneHints = zoneHints
            self.nodeHints = nodeHints
        }
    }

    public var name: ObjectName
    /// The Service that the label `kubernetes.io/service-name` names, in the slice's namespace.
    public var service: ObjectName
    public var family: IPFamily
    public var ports: [Port] = []
    public var endpoints: [Endpoint] = []

    public init(name: ObjectName, service: ObjectName, family: IPFamily) {
        self.name = name
        self.service = service
        self.family = family
    }
}
