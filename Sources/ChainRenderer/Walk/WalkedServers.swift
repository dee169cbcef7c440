public import ProxyCore

/// What a walk has to know of ipvs mode beside rules.
public struct WalkedServers: Sendable {
    /// Virtual servers, sets and the addresses of `kube-ipvs0`.
    public var state: IPVSKernelState
    /// The service ports that have the virtual servers, where that is known.
    public var owners: [VirtualServer.Key: String]
    private let sets: [String: FoundIPSet]

    /// - Parameter family: of the sets.
    public init(_ state: IPVSKernelState, _ family: IPFamily, owners: [VirtualServer.Key: String] = [:]) {
        self.state = state
        self.owners = owners
        sets = Dictionary(state.sets.map { ($0.name(family), $1) }) { first, _ in first }
    }

    /// The entry of a set that a traveller's fields meet.
    enum Lookup {
        /// There is no such set here, or it is asked for what a packet does not tell.
        case unknown
        case nothing
        case entry(IPSetEntry)
    }

    /// - Parameter directions: of each part of the key, `src` or `dst`.
    func lookup(_ name: String, _ directions: [String], _ traveller: Traveller) -> Lookup {
        guard let set = sets[name], let kind = IPSet.Kind(rawValue: set.header.type) else { return .unknown }
        var parts = directions[...]
        func address() -> IPAddress? {
            switch parts.popFirst() {
            case "src": traveller.source
            case "dst": traveller.destination
            default: nil
            }
        }
        // The port that a client sends from is not known.
        func port() -> UInt16? { parts.popFirst() == "dst" ? traveller.port : nil }
        func key() -> VirtualServer.Key? {
            guard let address = address(), let port = port() else { return nil }
            return .init(address, traveller.original.protocol, port)
        }
        let entry: IPSetEntry?
        switch kind {
        case .addresses: entry = address().map { .address($0) }
        case .ports: entry = port().map { .port($0) }
        case .addressesAndPorts: entry = key().map { .addressAndPort($0) }
        case .pairs:
            let key = key()
            let other = address()
            entry = key.flatMap { key in other.map { .pair(key, $0) } }
        case .ranges:
            guard let key = key(), let other = address() else { return .unknown }
            let range = set.entries.first {
                if case .range(key, let range) = $0 { range.contains(other) } else { false }
            }
            return range.map { .entry($0) } ?? .nothing
        }
        guard let entry else { return .unknown }
        return set.entries.contains(entry) ? .entry(entry) : .nothing
    }

    func holds(_ name: String, _ directions: [String], _ traveller: Traveller) -> Chance {
        switch lookup(name, directions, traveller) {
        case .unknown: .unknown
        case .nothing: .no
        case .entry: .yes
        }
    }

    /// The entries that matches have found, as text; nil where they ask no set.
    func entries(of matches: [RuleMatch], _ traveller: Traveller) -> String? {
        let texts = matches.compactMap { match -> String? in
            guard case .set(let name, let directions, .no) = match,
                case .entry(let entry) = lookup(name, directions, traveller)
            else { return nil }
            return entry.text
        }
        return texts.isEmpty ? nil : texts.joined(separator: " ")
    }
}
