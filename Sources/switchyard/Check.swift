import ArgumentParser
import Foundation
import ProxyCore

/// Says what another mode would change.
struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says which services another mode would treat differently, and why.",
        discussion: """
            Compares where packets end, from --from to --to, for the node of the configuration; no kernel is asked. \
            Status 0: nothing would change, 1: something would, 2: bad input.
            """)

    @OptionGroup var cluster: ClusterOptions

    @Option(help: "The mode that serves now: iptables or nftables.")
    var from: ProxyMode

    @Option(help: "The mode that is to serve: iptables or nftables.")
    var to: ProxyMode

    @Option(help: "The families: ipv4, ipv6 or both.")
    var family = FamilyChoice.both

    @Flag(help: "Prints the differences as JSON.")
    var json = false

    private struct Line: Encodable {
        var family: String
        /// Nil for what is so for every service.
        var service: String?
        var proto: String?
        var nodePort: UInt16?
        var sentence: String

        enum CodingKeys: String, CodingKey {
            case family, service, nodePort, sentence
            case proto = "protocol"
        }
    }

    func validate() throws {
        if from == .ipvs || to == .ipvs { throw ValidationError("Only iptables and nftables can be compared so far.") }
    }

    func run() async throws {
        let input = try await ClusterInput(cluster)
        let all = family.families.flatMap { lines(input, $0) }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            Console.write(String(decoding: try encoder.encode(all), as: UTF8.self) + "\n")
        } else {
            for line in all {
                let subject = [line.service, line.proto].compactMap(\.self).joined(separator: " ")
                Console.write(
                    "\(line.family): \(subject.isEmpty ? "" : "\(subject): ")\(line.sentence)\n")
            }
        }
        if !all.isEmpty { throw ExitStatus.failed }
    }

    private func lines(_ input: ClusterInput, _ family: IPFamily) -> [Line] {
        let facts = HostFacts(of: input.node)
        let ranges = input.state.serviceRanges(family)
        let comparison = ModeComparison(
            from: input.side(from, family, facts), to: input.side(to, family, facts), local: facts.addresses,
            serviceRanges: ranges)
        return comparison.general.map { Line(family: family.rawValue, sentence: $0) }
            + comparison.differences.map { difference in
                Line(
                    family: family.rawValue, service: difference.service.description,
                    proto: difference.service.protocol.rawValue,
                    nodePort: difference.nodePort == 0 ? nil : difference.nodePort, sentence: difference.sentence)
            }
    }
}

extension ClusterInput {
    fileprivate func side(_ mode: ProxyMode, _ family: IPFamily, _ facts: HostFacts) -> ModeComparison.Side {
        let node = NodePlan(configuration, mode: mode, family: family, nodeName: nodeName, node: node, facts: facts)
        var plans = PlanTable()
        _ = plans.updateAll(from: state, in: node.context)
        return ModeComparison.Side(mode: mode, node: node, plans: plans.all)
    }
}
