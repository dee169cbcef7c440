import ArgumentParser
import BatchApplier
import Foundation
import ProxyCore

/// Says what another mode would change, and what this node lacks for a mode.
struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says which services another mode would treat differently, and what this node lacks for a mode.",
        discussion: """
            With --from and --to, compares where packets end, for the node of the configuration, and says what this \
            node lacks for the mode of --to. Without them no cluster is asked: it says what the node has and lacks for \
            its mode. What nf_tables, IPVS and sets can do is tried in a network namespace of its own, which needs \
            root; nothing on the node changes. Status 0: nothing would change and nothing is missing, 1: something, \
            2: bad input, or nothing could be tried.
            """)

    @OptionGroup var cluster: ClusterOptions

    @Option(help: "The mode that serves now: iptables, ipvs or nftables; without it and --to, this node is checked.")
    var from: ProxyMode?

    @Option(help: "The mode that is to serve: iptables, ipvs or nftables.")
    var to: ProxyMode?

    @Option(help: "The families: ipv4, ipv6 or both.")
    var family = FamilyChoice.both

    @Option(help: "The iptables variant, legacy or nft; without it the node's own is found out.")
    var variant: IPTablesVariant?

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
        if (from == nil) != (to == nil) { throw ValidationError("--from and --to go together.") }
        if from != nil, cluster.settings.mode != nil {
            throw ValidationError("--mode has no use with --from and --to, which name the modes.")
        }
    }

    func run() async throws {
        guard let from, let to else { return try await checkNode() }
        try UselessOption.refuse([.variant(variant, in: to)])
        let input = try await ClusterInput(cluster)
        var all = family.families.flatMap { lines(input, $0, from, to) }
        for (family, support) in await support(to, input.configuration) {
            switch support {
            case .known(_, let missing): all += missing.map { Line(family: family.rawValue, sentence: $0) }
            case .unknown(let reason):
                Console.note("\(family.rawValue): what this node lacks is not known: \(reason)")
            }
        }
        try report(all)
        if !all.isEmpty { throw ExitStatus.failed }
    }

    /// Says what this node has for its mode, and what it lacks.
    private func checkNode() async throws {
        let configuration = try cluster.settings.configuration().0
        let mode = cluster.settings.mode(configuration)
        try UselessOption.refuse([.variant(variant, in: mode)])
        var missing: [Line] = []
        var isKnown = true
        for (family, support) in await support(mode, configuration) {
            switch support {
            case .known(let present, let absent):
                for sentence in present where !json { Console.write("\(family.rawValue): \(sentence)\n") }
                missing += absent.map { Line(family: family.rawValue, sentence: $0) }
            case .unknown(let reason):
                Console.error("\(family.rawValue): what this node lacks is not known: \(reason)")
                isKnown = false
            }
        }
        try report(missing)
        if !isKnown { throw ExitStatus.badInput }
        if !missing.isEmpty { throw ExitStatus.failed }
    }

    private func support(
        _ mode: ProxyMode, _ configuration: ProxyConfiguration
    ) async -> [(family: IPFamily, support: NodeSupport)] {
        await NodeSupport.of(mode, family.onThisNode("tried"), configuration, variant)
    }

    private func report(_ all: [Line]) throws {
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
    }

    private func lines(
        _ input: ClusterInput, _ family: IPFamily, _ from: ProxyMode, _ to: ProxyMode
    ) -> [Line] {
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
        let (node, plans) = plans(mode, family, facts: facts)
        return ModeComparison.Side(mode: mode, node: node, plans: plans.all)
    }
}
