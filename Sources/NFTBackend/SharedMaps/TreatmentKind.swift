import NameHash
import ProxyCore

/// A chain that all services share whose packets are treated alike: made when the first of them comes.
///
/// Rules that look a map up cost the kernel time in proportion to their square, so kinds that have such rules name one
/// number each, a size or a timeout, of which few exist; those that name more only lead to them.
enum TreatmentKind: Hashable {
    /// One endpoint of a list from index 0 on.
    case pick(Entrance, TransportProtocol, ListSize)
    /// One endpoint of the list of local ones.
    case local(Entrance, TransportProtocol, ListSize)
    /// Masquerades, then picks.
    case masquerade(Entrance, TransportProtocol, ListSize)
    /// Policy Local: the first size is for pods and the node, the second for everybody else, if there is a local one.
    case policyLocal(Entrance, TransportProtocol, ListSize, local: ListSize?)
    /// Lets only these sources pass.
    case firewall(SourceList)
    /// Draws a candidate for a client of a service with affinity.
    case draw(ServicePlan.Pool, ListSize)
    /// Goes where the client went before, if that endpoint is still there, else to the candidate.
    case remember(ServicePlan.Pool, TransportProtocol, AffinityTimeout)
    /// Goes to the candidate, whatever was before.
    case forget(ServicePlan.Pool, TransportProtocol, AffinityTimeout)
    /// Draws, then remembers.
    case sticky(ServicePlan.Pool, TransportProtocol, ListSize, AffinityTimeout)
    /// Draws, then forgets.
    case resticky(ServicePlan.Pool, TransportProtocol, ListSize, AffinityTimeout)
}

extension TreatmentKind {
    /// The name of its chain.
    var name: String {
        switch self {
        case .pick(let entrance, let transport, let size):
            "\(entrance.prefix)pick-\(transport.lowercaseName)-\(size)"
        case .local(let entrance, let transport, let size):
            "\(entrance.prefix)local-\(transport.lowercaseName)-\(size)"
        case .masquerade(let entrance, let transport, let size):
            "\(entrance.prefix)masq-\(transport.lowercaseName)-\(size)"
        case .policyLocal(let entrance, let transport, let size, let local):
            "\(entrance.prefix)policy-local-\(transport.lowercaseName)-\(size)-\(local?.drawn ?? 0)"
        case .firewall(let list): "firewall-\(list.hash)"
        case .draw(let pool, let size): "draw-\(pool.infix)\(size)"
        case .remember(let pool, let transport, let timeout):
            "remember-\(pool.infix)\(transport.lowercaseName)-\(timeout)"
        case .forget(let pool, let transport, let timeout):
            "forget-\(pool.infix)\(transport.lowercaseName)-\(timeout)"
        case .sticky(let pool, let transport, let size, let timeout):
            "sticky-\(pool.infix)\(transport.lowercaseName)-\(size)-\(timeout)"
        case .resticky(let pool, let transport, let size, let timeout):
            "resticky-\(pool.infix)\(transport.lowercaseName)-\(size)-\(timeout)"
        }
    }

    /// The kind and those that it leads to.
    var withDependencies: [TreatmentKind] {
        switch self {
        case .pick, .local, .firewall, .draw, .remember, .forget: [self]
        case .masquerade(let entrance, let transport, let size): [self, .pick(entrance, transport, size)]
        case .policyLocal(let entrance, let transport, let size, let local):
            [self, .pick(entrance, transport, size)] + (local.map { [.local(entrance, transport, $0)] } ?? [])
        case .sticky(let pool, let transport, let size, let timeout):
            [self, .draw(pool, size), .remember(pool, transport, timeout)]
        case .resticky(let pool, let transport, let size, let timeout):
            [self, .draw(pool, size), .forget(pool, transport, timeout)]
        }
    }
}

extension Entrance {
    fileprivate var prefix: String { self == .address ? "" : "node-" }
}

extension ServicePlan.Pool {
    fileprivate var infix: String { self == .cluster ? "" : "local-" }
}

/// The sources that may use a load balancer's addresses: services with equal lists share a chain.
struct SourceList: Hashable {
    /// In the order of their texts, each once.
    let ranges: [CIDR]

    init(_ ranges: SourceRanges, loadBalancerIPs: [IPAddress]) {
        // What the node itself sends to such an address has it as its source.
        let own = ranges.admitNode ? loadBalancerIPs.map { CIDR($0) } : []
        self.ranges = Set(ranges.cidrs + own).map { ($0, $0.description) }.sorted { $0.1 < $1.1 }.map(\.0)
    }

    typealias SourceRanges = ServicePlan.SourceRanges

    var hash: NameHash {
        var text = ranges.map(\.description).joined(separator: " ")
        return text.withUTF8 { NameHash(of: UnsafeRawBufferPointer($0)) }
    }
}

/// How long a client is remembered.
///
/// Exact up to ten minutes, rounded up to whole minutes up to an hour and to five minutes above: at most 926 different
/// ones exist up to a day, the longest that the API takes, and none is longer than asked for by more than a tenth.
struct AffinityTimeout: Hashable, CustomStringConvertible {
    let seconds: Int

    init(seconds: Int) {
        let step = seconds <= 600 ? 1 : seconds <= 3600 ? 60 : 300
        let (sum, overflow) = max(seconds, 1).addingReportingOverflow(step - 1)
        self.seconds = overflow ? Self.longest : min(sum / step * step, Self.longest)
    }

    /// A day: what the API allows.
    static let longest = 86_400

    var description: String { "\(seconds)" }
}
