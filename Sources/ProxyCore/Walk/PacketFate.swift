/// Where a packet can end, with the chance of each.
public struct PacketFate: Hashable, Sendable {
    public enum End: Hashable, Sendable {
        /// It is sent to an endpoint: its destination was translated.
        case endpoint(IPAddress, port: UInt16)
        /// It is refused with an answer.
        case reject
        case drop
        /// A rule lets it in with its destination as it was.
        case accept
        /// It goes where it was sent to.
        case untouched
    }

    /// The source that the receiver sees.
    public enum Source: Hashable, Sendable {
        case unchanged
        /// The node's address on the interface by which the packet leaves.
        case masqueraded
        /// The address that a rule names.
        case translated(IPAddress)
    }

    public struct Branch: Hashable, Sendable {
        public var end: End
        /// From 0 to 1.
        public var share: Double
        /// Unchanged where nothing receives the packet.
        public var source: Source

        public init(_ end: End, share: Double, source: Source = .unchanged) {
            self.end = end
            self.share = share
            self.source = source
        }
    }

    /// Each end and source once, ordered by the end's text.
    public let branches: [Branch]

    /// - Parameter branches: in any order; those of one end and source are added up.
    public init(_ branches: [Branch]) {
        var sums: [Branch] = []
        var places: [Branch: Int] = [:]
        for branch in branches {
            let key = Branch(branch.end, share: 0, source: branch.source)
            if let place = places[key] {
                sums[place].share += branch.share
            } else {
                places[key] = sums.count
                sums.append(branch)
            }
        }
        self.branches = sums.sorted {
            ($0.end.description, $0.source.rank) < ($1.end.description, $1.source.rank)
        }
    }

    /// The ends as a flows table has them: sorted, each once, with commas between.
    public var outcome: String {
        var texts: [String] = []
        for branch in branches where texts.last != branch.end.description { texts.append(branch.end.description) }
        return texts.joined(separator: ",")
    }

    /// True as soon as the source is rewritten on the way to one of the endpoints.
    public var masquerades: Bool { branches.contains { $0.source != .unchanged } }
}

extension PacketFate.End: CustomStringConvertible {
    /// `IP:PORT`, `[IP]:PORT`, `REJECT`, `DROP`, `ACCEPT` or `-`.
    public var description: String {
        switch self {
        case .endpoint(let address, let port):
            address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
        case .reject: "REJECT"
        case .drop: "DROP"
        case .accept: "ACCEPT"
        case .untouched: "-"
        }
    }
}

extension PacketFate.Source {
    fileprivate var rank: String {
        switch self {
        case .unchanged: "0"
        case .masqueraded: "1"
        case .translated(let address): "2 \(address)"
        }
    }
}
