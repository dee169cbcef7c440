/// What clients of a service send to.
public enum FlowDestination: Hashable, Sendable {
    /// A cluster IP, external IP or load-balancer IP, with its port.
    case address(TransportAddress)
    /// A node port, on every address of the node that serves node ports.
    case nodePort(UInt16)
}

/// Which UDP flows are to be looked at, and which of them are stale: a value to be carried to where the kernel's table
/// of connections is read.
///
/// It must be used after the rules that it was made with are in the kernel: a flow that is deleted before would be
/// made anew from the old rules by its next packet. A flow that appears after yet newer rules can be taken for a stale
/// one; it costs that flow one fresh choice of endpoint.
public struct FlowQuery: Hashable, Sendable {
    /// To whom a destination belongs.
    public enum Claim: Hashable, Sendable {
        /// No service has it any more.
        case nobody
        /// A service has it, and flows may have been sent to these endpoints; perhaps to none.
        case service(endpoints: Set<TransportAddress>)
    }

    /// Destination addresses and ports that together name every flow that is looked at.
    public struct Selector: Hashable, Sendable {
        /// Nil for every address.
        public let address: IPAddress?
        public let port: UInt16

        public init(address: IPAddress?, port: UInt16) {
            self.address = address
            self.port = port
        }
    }

    public let family: IPFamily
    public let claims: [FlowDestination: Claim]
    /// The addresses of this node on which node ports are served.
    public let nodePortAddresses: Set<IPAddress>
    /// Ranges in which a translated flow to a destination without a claim is stale: cluster IPs are given out from
    /// them, so the flow's service is gone, and `claims` has every service there is. Empty unless `isFull`.
    public let serviceRanges: [CIDR]
    /// True if every flow of the family is looked at.
    public let isFull: Bool

    package init(
        family: IPFamily, claims: [FlowDestination: Claim], nodePortAddresses: Set<IPAddress> = [],
        serviceRanges: [CIDR] = [], isFull: Bool = false
    ) {
        self.family = family
        self.claims = claims
        self.nodePortAddresses = nodePortAddresses
        self.serviceRanges = isFull ? serviceRanges : []
        self.isFull = isFull
    }

    /// What to ask the kernel for, each destination by itself; nil if everything is looked at.
    public var selectors: [Selector]? {
        guard !isFull else { return nil }
        return claims.keys.map { destination in
            switch destination {
            case .address(let end): Selector(address: end.address, port: end.port)
            case .nodePort(let port): Selector(address: nil, port: port)
            }
        }
    }

    /// True if the flow goes where no packet of a new flow would go, and so has to be forgotten.
    ///
    /// A flow to an endpoint that a service may still use is right. Otherwise:
    /// - A translated flow is stale: its endpoint or its service is gone.
    /// - One that was not translated is stale if it began before the service had the destination. But flows to the
    ///   node's own addresses stay while the node port has no endpoint: a program of the node may be serving that port.
    /// - One that was not translated, to a destination that no service has, is right.
    public func isStale(_ flow: UDPFlow) -> Bool {
        let claim = claims[.address(flow.destination)]
        if case .service(let endpoints) = claim {
            return !endpoints.contains(flow.replySource)
        }
        // The more specific destination decides, as its rules come first.
        if nodePortAddresses.contains(flow.destination.address),
            let claim = claims[.nodePort(flow.destination.port)]
        {
            switch claim {
            case .nobody: return flow.isTranslated
            case .service(let endpoints):
                return !endpoints.contains(flow.replySource) && (flow.isTranslated || !endpoints.isEmpty)
            }
        }
        guard flow.isTranslated else { return false }
        return claim != nil || serviceRanges.contains { $0.contains(flow.destination.address) }
    }
}
