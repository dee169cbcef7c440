public import ArgumentParser
import BatchApplier
import ChainRenderer
public import ProxyCore

/// Tells what becomes of a packet, and why.
struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tells what the rules of a node do to a packet, rule by rule.",
        discussion: """
            The rules are those that render would write; with --saved, those of an iptables-save file; with --live, \
            those in this node's kernel, which needs root. Rules of others are followed like ours. The packet is the \
            first of its connection: connection tracking calls it NEW, and no affinity holds yet.

            --probes reads a table with a packet a line (source, protocol, destination and port, with tabs between) \
            and writes it with outcome and masquerade filled in, in the order of chains that kube-proxy's tracer has: \
            the nat rules of arriving packets, then the filter chains, whichever way the packet would go on a host.

            Status 0: told, 2: bad input, or rules that cannot be read.
            """)

    @OptionGroup var cluster: ClusterOptions

    @Option(help: ArgumentHelp("The address that the packet comes from.", valueName: "address"))
    var from: String?

    @Option(help: ArgumentHelp("Where it goes: ADDRESS:PORT, or [ADDRESS]:PORT for IPv6.", valueName: "address:port"))
    var to: String?

    @Option(name: .customLong("protocol"), help: "The transport protocol: tcp, udp or sctp; tcp if it is not given.")
    var transport: TransportProtocol?

    @Option(help: ArgumentHelp("The interface that it comes in by, where rules ask.", valueName: "interface"))
    var inInterface: String?

    @Option(
        help: ArgumentHelp("Follows the rules that iptables-save wrote here; - is standard input.", valueName: "file"))
    var saved: String?

    @Flag(help: "Follows the rules in the kernel of this node.")
    var live = false

    @Option(help: "With --live: the iptables variant, legacy or nft; without it the node's own is found out.")
    var variant: IPTablesVariant?

    @OptionGroup var nftables: NFTOptions

    @Option(help: ArgumentHelp("An address of the node, beside those of its Node object.", valueName: "address"))
    var nodeAddress: [String] = []

    @Option(help: ArgumentHelp("Fills in a table of packets; - is standard input.", valueName: "file"))
    var probes: String?

    @Flag(help: "Prints JSON.")
    var json = false

    func validate() throws {
        if saved != nil, live { throw ValidationError("--saved and --live exclude each other.") }
        if probes != nil {
            if from != nil || to != nil {
                throw ValidationError("--probes takes the packets from its table: leave out --from and --to.")
            }
            if json { throw ValidationError("--json has no use with --probes, which writes a table.") }
        } else if from == nil || to == nil {
            throw ValidationError(
                "Name a packet with --from ADDRESS and --to ADDRESS:PORT, or a table of them with --probes FILE.")
        }
        if variant != nil, !live { throw ValidationError("--variant goes with --live.") }
        if saved != nil, let option = nftables.given { throw ValidationError("\(option) has no use with --saved.") }
    }

    func run() async throws {
        do {
            if let probes {
                try await fill(probes)
            } else {
                try await explain(try packet())
            }
        } catch  where error is IPTablesError || error is IPVSError || error is NFTablesError {
            throw InputError("\(error)")
        }
    }

    private func explain(_ packet: Packet) async throws {
        let rules = try await ExplainedRules(self, [packet.family])
        let result = try rules.walk(packet)
        let report = ExplainReport(packet, result, local: rules.local)
        Console.write(json ? try report.json() : report.text())
    }

    private func fill(_ path: String) async throws {
        let text = try InputText(path: path)
        let rows = try FlowTable.read(String(decoding: text.bytes, as: UTF8.self), name: text.name)
        let rules = try await ExplainedRules(self, Set(rows.map(\.packet.family)))
        let fates = try rules.tracer()
        var table = FlowTable.header
        for row in rows { table += row.line(try fates(row.packet)) }
        Console.write(table)
    }
}

extension TransportProtocol: ExpressibleByArgument {
    public init?(argument: String) {
        self.init(rawValue: argument.uppercased())
    }

    public static var allValueStrings: [String] { ["tcp", "udp", "sctp"] }
}

// MARK: - Input

extension Explain {
    /// The packet that the options name; every fault of theirs is told.
    private func packet() throws(InputError) -> Packet {
        var faults: [Diagnostic] = []
        func fault(_ sentence: String) { faults.append(Diagnostic(.error, at: "", sentence)) }
        let source = from.flatMap(IPAddress.init)
        if source == nil { fault("--from \"\(from ?? "")\": not an IP address") }
        let (address, port) = Self.split(to ?? "")
        let destination = address.flatMap(IPAddress.init)
        let number = port.flatMap { UInt16($0) }.flatMap { $0 > 0 ? $0 : nil }
        if port == nil {
            fault("--to \"\(to ?? "")\": not of the form ADDRESS:PORT, or [ADDRESS]:PORT for IPv6")
        } else {
            if destination == nil { fault("--to \"\(to ?? "")\": \"\(address ?? "")\" is not an IP address") }
            if number == nil { fault("--to \"\(to ?? "")\": \"\(port ?? "")\" is not a port from 1 to 65535") }
        }
        guard let source, let destination, let number else { throw InputError(faults) }
        guard
            let packet = Packet(
                from: source, to: destination, port: number, protocol: transport ?? .tcp, inInterface: inInterface)
        else {
            fault(
                "--from \(source) is of \(source.family.rawValue), --to \(destination) of \(destination.family.rawValue)"
            )
            throw InputError(faults)
        }
        return packet
    }

    /// Takes `ADDRESS:PORT` or `[ADDRESS]:PORT` apart; no port if the text is neither.
    private static func split(_ text: String) -> (address: String?, port: String?) {
        guard let colon = text.lastIndex(of: ":") else { return (nil, nil) }
        let address = text[..<colon]
        let port = String(text[text.index(after: colon)...])
        if address.hasPrefix("["), address.hasSuffix("]") { return (String(address.dropFirst().dropLast()), port) }
        return address.contains(":") ? (nil, nil) : (String(address), port)
    }

    /// The addresses of `--node-address`.
    func nodeAddresses() throws(InputError) -> [IPAddress] {
        let wrong = nodeAddress.filter { IPAddress($0) == nil }
        guard wrong.isEmpty else {
            throw InputError(wrong.map { Diagnostic(.error, at: "", "--node-address \"\($0)\": not an IP address") })
        }
        return nodeAddress.compactMap(IPAddress.init)
    }
}
