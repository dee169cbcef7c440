import ProxyCore

/// One key that packets reach services by. What stands under it belongs to one service port at a time.
enum Door: Hashable {
    case address(IPAddress, TransportProtocol, UInt16)
    case nodePort(TransportProtocol, UInt16)

    var entrance: Entrance {
        switch self {
        case .address: .address
        case .nodePort: .nodePort
        }
    }

    var transport: TransportProtocol {
        switch self {
        case .address(_, let transport, _), .nodePort(let transport, _): transport
        }
    }

    /// Its key in the maps that dispatch.
    fileprivate var key: [NFTValue] {
        switch self {
        case .address(let address, let transport, let port): [.address(address), .protocol(transport), .port(port)]
        case .nodePort(let transport, let port): [.protocol(transport), .port(port)]
        }
    }

    /// Its key in the maps of endpoints, without the index.
    fileprivate var endpointKey: [NFTValue] {
        switch self {
        case .address(let address, _, let port): [.address(address), .port(port)]
        case .nodePort(_, let port): [.port(port)]
        }
    }
}

/// What stands under a door in all maps.
struct DoorContent: Hashable {
    /// Whom to translate packets to.
    struct Dispatch: Hashable {
        var chain: String
        var service: ServicePortName
        /// The lists that the chain picks from by this door's key; empty where it picks by something else.
        var cluster: [NFTEndpoint] = []
        var local: [NFTEndpoint] = []
    }

    /// What becomes of packets that were not translated.
    struct Refusal: Hashable {
        var verdict: NFTVerdict
        var service: ServicePortName
    }

    struct Firewall: Hashable {
        var chain: String
        var service: ServicePortName
    }

    var dispatch: Dispatch?
    var refusal: Refusal?
    var firewall: Firewall?
    var counter: String?

    /// Lets what a later service port, or a later role of the same one, has under the same key win: map by map, as
    /// each map has one element a key.
    mutating func override(by other: DoorContent) {
        if let dispatch = other.dispatch { self.dispatch = dispatch }
        if let refusal = other.refusal { self.refusal = refusal }
        if let firewall = other.firewall { self.firewall = firewall }
        if let counter = other.counter { self.counter = counter }
    }
}

extension DoorContent {
    /// What must be taken out and put in to make of one content another.
    static func change(_ old: DoorContent, _ new: DoorContent, at door: Door, _ changes: inout ElementChanges) {
        guard old != new else { return }
        changes.replace(old.dispatchElement(door), by: new.dispatchElement(door))
        changes.replace(old.refusalElement(door), by: new.refusalElement(door))
        changes.replace(old.firewallElement(door), by: new.firewallElement(door))
        changes.replace(old.counterElement(door), by: new.counterElement(door))
        changeList(old.dispatch?.cluster ?? [], new.dispatch?.cluster ?? [], .cluster, door, &changes)
        changeList(old.dispatch?.local ?? [], new.dispatch?.local ?? [], .local, door, &changes)
    }

    /// Hands out all that stands under the door.
    func forEachAddition(at door: Door, _ body: (NFTAddition) -> Void) {
        for element in [dispatchElement(door), refusalElement(door), firewallElement(door), counterElement(door)] {
            if let element { body(.element(element)) }
        }
        guard let dispatch else { return }
        let set = SharedMapsName.endpoints(door.entrance, door.transport)
        for (endpoints, pool) in [(dispatch.cluster, ServicePlan.Pool.cluster), (dispatch.local, .local)] {
            guard !endpoints.isEmpty else { continue }
            body(
                .endpoints(
                    NFTEndpointList(
                        set: set, prefix: door.endpointKey, firstIndex: pool.offset, endpoints: endpoints)))
        }
    }

    private func dispatchElement(_ door: Door) -> NFTElement? {
        let set = door.entrance == .address ? SharedMapsName.serviceIPs : SharedMapsName.serviceNodePorts
        return dispatch.map { Self.verdict(.goto($0.chain), of: $0.service, in: set, door) }
    }

    private func refusalElement(_ door: Door) -> NFTElement? {
        let set =
            door.entrance == .address ? SharedMapsName.noEndpointServices : SharedMapsName.noEndpointNodePorts
        return refusal.map { Self.verdict($0.verdict, of: $0.service, in: set, door) }
    }

    private func firewallElement(_ door: Door) -> NFTElement? {
        firewall.map { Self.verdict(.goto($0.chain), of: $0.service, in: SharedMapsName.firewallIPs, door) }
    }

    private func counterElement(_ door: Door) -> NFTElement? {
        let set = door.entrance == .address ? SharedMapsName.serviceCounters : SharedMapsName.nodePortCounters
        return counter.map { NFTElement(set: set, key: door.key, datum: .counter($0)) }
    }

    private static func verdict(
        _ verdict: NFTVerdict, of service: ServicePortName, in set: String, _ door: Door
    ) -> NFTElement {
        NFTElement(set: set, key: door.key, datum: .verdict(verdict), comment: SharedMapsName.comment(service))
    }

    /// Index by index, so that equal parts of long lists cost next to nothing.
    private static func changeList(
        _ old: [NFTEndpoint], _ new: [NFTEndpoint], _ pool: ServicePlan.Pool, _ door: Door,
        _ changes: inout ElementChanges
    ) {
        let set = SharedMapsName.endpoints(door.entrance, door.transport)
        let prefix = door.endpointKey
        for index in 0..<max(old.count, new.count) {
            let before = index < old.count ? old[index] : nil
            let after = index < new.count ? new[index] : nil
            guard before != after else { continue }
            let key = prefix + [.number(pool.offset + UInt32(index))]
            if before != nil { changes.deleted.append(.init(set: set, key: key)) }
            if let after { changes.added.append(NFTElement(set: set, key: key, datum: .values(after.values))) }
        }
    }
}

extension NFTEndpoint {
    /// As the datum of a map.
    var values: [NFTValue] { [.address(address), .port(port)] }
}

/// Elements to take out, then elements to put in. One that is replaced stands in both.
struct ElementChanges {
    struct Key: Hashable {
        var set: String
        var key: [NFTValue]
    }

    var deleted: [Key] = []
    var added: [NFTElement] = []

    /// Two elements of one key, or one that comes or goes.
    mutating func replace(_ old: NFTElement?, by new: NFTElement?) {
        guard old != new else { return }
        if let old { deleted.append(Key(set: old.set, key: old.key)) }
        if let new { added.append(new) }
    }

    /// Two lists of elements, in each of which a key stands once.
    mutating func replace(_ old: [NFTElement], by new: [NFTElement]) {
        var left: [Key: NFTElement] = [:]
        for element in old { left[Key(set: element.set, key: element.key)] = element }
        for element in new {
            let before = left.removeValue(forKey: Key(set: element.set, key: element.key))
            replace(before, by: element)
        }
        // In the order of `old`, so that equal input gives an equal batch.
        for element in old where left[Key(set: element.set, key: element.key)] != nil { replace(element, by: nil) }
    }

    var steps: [NFTChange] {
        deleted.map { .deleteElement(set: $0.set, key: $0.key) } + added.map(NFTChange.addElement)
    }
}
