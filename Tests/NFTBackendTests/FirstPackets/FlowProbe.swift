import Foundation
import GoldenSupport
import ProxyCore
import TestSupport
import Testing

/// A row of the flows of a golden cluster, and how to tell that real packets did as it says.
struct FlowProbe {
    /// Why a packet cannot be sent.
    enum ReasonToLeaveOut: String {
        /// The kernel takes such a packet for a forgery wherever it comes from (RFC 1122, section 3.2.1.3;
        /// RFC 4291, section 2.5.3).
        case loopbackBeyondTheNode = "loopback at one end, another address at the other"
    }

    /// Why not all of a row is compared.
    enum Reservation: String, CaseIterable {
        /// Its client stays with the endpoint that its first packet met: whether all can be met is for other tests.
        case sticks = "affinity: all packets are to meet one of the endpoints"
        /// The tracer that made the flows compared texts, and took a pod that is spelled otherwise than addresses are
        /// printed for another one: the kernel does not.
        case isMistaken = "a pod that the tracer did not know again: its own masquerade is left open"
    }

    let row: FlowTable.Row
    let sticks: Bool
    let isMistaken: Bool
    private let local: LocalAddresses
    private let endpoints: Set<String>

    /// All rows of a family; none for the clusters that tell pods by their interface.
    static func all(_ golden: GoldenCase, _ cluster: GoldenCluster, _ family: IPFamily) throws -> [FlowProbe] {
        let name = "flows.nftables.\(family.shortName).tsv"
        guard let bytes = golden.expected(name) else { return [] }
        let told = Set(try golden.flows(family))
        let sticky = cluster.plans(family).all.filter { $0.affinitySeconds != nil }
        return try FlowTable.read(String(decoding: bytes, as: UTF8.self), name: golden.path(name)).map { row in
            let packet = row.packet
            let sticks = sticky.contains { plan in
                guard plan.name.protocol == packet.protocol else { return false }
                let addresses = [plan.clusterIP] + plan.externalIPs + plan.loadBalancerIPs
                return plan.port == packet.port && addresses.contains(packet.destination)
                    || plan.nodePort == packet.port && cluster.local.contains(packet.destination)
            }
            return FlowProbe(row: row, sticks: sticks, isMistaken: !told.contains(row), local: cluster.local)
        }
    }

    private init(row: FlowTable.Row, sticks: Bool, isMistaken: Bool, local: LocalAddresses) {
        self.row = row
        self.sticks = sticks
        self.isMistaken = isMistaken
        self.local = local
        let ends = (row.outcome ?? "").split(separator: ",").map(String.init)
        endpoints = Set(ends.filter { !["REJECT", "DROP", "ACCEPT", "-"].contains($0) })
    }

    var reasonToLeaveOut: ReasonToLeaveOut? {
        row.packet.source.isLoopback != row.packet.destination.isLoopback ? .loopbackBeyondTheNode : nil
    }

    var reservations: [String] {
        ((sticks && endpoints.count > 1 ? [.sticks] : []) + (isMistaken ? [Reservation.isMistaken] : [])).map(
            \.rawValue)
    }

    /// How often it is sent: until one endpoint of many is missed by less than one in 10^13 runs.
    var times: Int {
        guard endpoints.count > 1 else { return 20 }
        // A long list is drawn from with up to a sixteenth of blanks, after which another draw is made.
        let count = Double(endpoints.count) * 17 / 16
        return max(20, Int((log(count / 1e-13) / -log(1 - 1 / count)).rounded(.up)))
    }

    var line: String {
        "\(row.packet.source) \(row.packet.protocol) \(row.packet.destination) \(row.packet.port) "
            + "\(row.outcome ?? "") \(row.masquerade ?? "")"
    }
}

// MARK: - Comparison

extension FlowProbe {
    /// What is wrong with what was seen of its packets; nil if nothing is.
    func fault(_ sightings: [Sighting: Int]) -> String? {
        let counts = sightings.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", ")
        guard sightings.values.reduce(0, +) <= times else { return "more came out than was sent: \(counts)" }
        if let reason = faultOfEnds(sightings) ?? faultOfSources(sightings) { return "\(reason): \(counts)" }
        return nil
    }

    private func faultOfEnds(_ sightings: [Sighting: Int]) -> String? {
        let seen = Set(sightings.keys.map(\.end))
        switch row.outcome {
        case "DROP": return seen.isEmpty ? nil : "not dropped"
        case "REJECT" where sightings.values.reduce(0, +) != times: return "not all refused"
        // ICMP's "port unreachable".
        case "REJECT": return seen == [.unreachable(code: row.packet.family == .ipv4 ? 3 : 4)] ? nil : "not refused"
        default: break
        }
        guard sightings.values.reduce(0, +) == times else { return "not all came out" }
        guard !endpoints.isEmpty else {
            return seen == [end(row.packet.destination, row.packet.port)] ? nil : "not left alone"
        }
        let allowed = Set(endpoints.compactMap(TransportEnd.init).map { end($0.address, $0.port) })
        guard allowed.count == endpoints.count else { return "not read" }
        guard seen.isSubset(of: allowed) else { return "an endpoint that is not allowed" }
        if sticks { return seen.count == 1 ? nil : "not one endpoint for one client" }
        return seen == allowed ? nil : "not every endpoint"
    }

    /// Where a packet comes out that is sent to an address.
    private func end(_ address: IPAddress, _ port: UInt16) -> Sighting.End {
        local.contains(address) ? .delivered(to: address, port: port) : .forwarded(to: address, port: port)
    }

    /// Where a row is true, and the source is one of the endpoints, it may be only that one that is masqueraded.
    private func faultOfSources(_ sightings: [Sighting: Int]) -> String? {
        var masquerades: [Bool: Set<Bool>] = [:]
        for sighting in sightings.keys {
            guard let address = sighting.end.address else { continue }
            switch sighting.source {
            case nil: break
            case PacketNode.address(row.packet.family)?: break
            // What stays on the node leaves by the loopback interface.
            case let source? where local.contains(address) && local.contains(source): break
            case let source?: return "the source became \(source)"
            }
            // What comes in and stays passes no POSTROUTING.
            let isExempt = local.contains(address) && !local.contains(row.packet.source)
            guard !isExempt || sighting.source != nil else { continue }
            masquerades[address == row.packet.source, default: []].insert(sighting.source != nil)
        }
        let isSelf = masquerades[true] ?? []
        let others = masquerades[false] ?? []
        if isMistaken {
            // What the tracer said is so for the other endpoints.
            return others.isSubset(of: [row.masquerade == "true"]) ? nil : "masquerade of other endpoints"
        }
        guard row.masquerade == "true" else {
            return isSelf.union(others).contains(true) ? "masqueraded" : nil
        }
        if isSelf.contains(false) { return "not masqueraded though it reaches itself" }
        if others.count > 1 { return "masqueraded for some endpoints only" }
        let mayBeOnlySelf = endpoints.contains { TransportEnd($0)?.address == row.packet.source }
        return others == [false] && !mayBeOnlySelf ? "not masqueraded" : nil
    }
}

/// `IP:PORT` or `[IP]:PORT`.
private struct TransportEnd {
    let address: IPAddress
    let port: UInt16

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]),
            let address = IPAddress(text[..<colon].trimmingCharacters(in: ["[", "]"]))
        else { return nil }
        self.address = address
        self.port = port
    }
}
