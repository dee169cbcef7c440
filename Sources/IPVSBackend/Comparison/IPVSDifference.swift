public import ProxyCore

/// Something among virtual servers, sets and addresses that is not as it is wanted.
///
/// One damage is one difference: what is amiss of one kind with a virtual server's real servers, or with a service
/// port's entries in a set, is told together.
public struct IPVSDifference: Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Hashable, Sendable {
        /// It is wanted and not there.
        case missing
        /// It is there and not wanted, and ours to take away.
        case unexpected
        /// It is another than is wanted.
        case changed
    }

    public enum Place: Hashable, Sendable {
        case allServers
        case server(VirtualServer.Key)
        case allSets
        case set(IPSet, IPFamily)
        /// `kube-ipvs0`.
        case device
    }

    public var kind: Kind
    public var place: Place
    /// The service port that wants it; of several the first by name.
    public var service: ServicePortName?
    /// What the lines do not say.
    public var detail: String?
    /// As `ipvsadm --save` and `ipset save` write it, or addresses. Of many the first few.
    public var wanted: [String]
    public var found: [String]

    init(
        _ kind: Kind, _ place: Place, _ service: ServicePortName? = nil, detail: String? = nil, wanted: [String] = [],
        found: [String] = []
    ) {
        self.kind = kind
        self.place = place
        self.service = service
        self.detail = detail
        self.wanted = wanted
        self.found = found
    }

    /// `missing: tcp 172.30.1.1:80 (ns1/web:http): -a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 1`
    public var description: String {
        let lines = wanted + found
        return "\(kind.rawValue): \(place)" + (service.map { " (\($0))" } ?? "") + (detail.map { ": \($0)" } ?? "")
            + (lines.isEmpty ? "" : ": \(lines.joined(separator: "; "))")
    }
}

extension IPVSDifference.Place: CustomStringConvertible {
    public var description: String {
        switch self {
        case .allServers: "all virtual servers"
        case .server(let key): key.text
        case .allSets: "all sets"
        case .set(let set, let family): set.name(family)
        case .device: "kube-ipvs0"
        }
    }
}
