import ProxyCore
import TestSupport
import Testing

/// What `packet-peer` saw of a packet.
struct Sighting: Hashable, CustomStringConvertible {
    enum End: Hashable {
        /// Left the node.
        case forwarded(to: IPAddress, port: UInt16)
        /// Delivered to the node itself.
        case delivered(to: IPAddress, port: UInt16)
        /// The sender was told by ICMP.
        case unreachable(code: UInt8)
        /// Came out with a wrong checksum.
        case damaged

        /// Whose it became; nil if nobody's.
        var address: IPAddress? {
            switch self {
            case .forwarded(let address, _), .delivered(let address, _): address
            case .unreachable, .damaged: nil
            }
        }
    }

    var end: End
    /// What the source was rewritten to; nil if it was kept, with its port.
    var source: IPAddress?
    let description: String

    fileprivate init?(_ words: [Substring]) {
        description = words.joined(separator: " ")
        switch (words.first, words.count) {
        case ("forwarded", 4), ("delivered", 4):
            guard let address = IPAddress(String(words[1])), let port = UInt16(words[2]) else { return nil }
            end = words[0] == "forwarded" ? .forwarded(to: address, port: port) : .delivered(to: address, port: port)
            guard words[3] != "kept" else { return }
            guard let source = IPAddress(String(words[3])) else { return nil }
            self.source = source
        case ("unreachable", 2):
            guard let code = UInt8(words[1]) else { return nil }
            end = .unreachable(code: code)
        case ("damaged", 1): end = .damaged
        default: return nil
        }
    }
}

/// A namespace that stands for a node: everything that is not its own is behind one interface, `out0`.
struct PacketNode {
    private let namespace: Namespace
    private let local: [IPAddress]

    /// The node's address on the interface by which packets leave: what they are masqueraded with. No cluster has it.
    static func address(_ family: IPFamily) -> IPAddress? { IPAddress(family == .ipv4 ? "100.64.0.1" : "fd00:64::1") }

    /// - Parameter probes: what is to be sent, as no other host may have the node's own address.
    init(addresses: LocalAddresses, probes: [FlowProbe]) throws {
        for probe in probes {
            let address = Self.address(probe.row.packet.family)
            try #require(probe.row.packet.source != address && probe.row.packet.destination != address)
        }
        namespace = try Namespace()
        let reachable = IPFamily.allCases.flatMap(addresses.reachable)
        local = reachable + IPFamily.allCases.map(IPAddress.loopback)
        let lines = reachable.map { "addr add \($0)/\($0.family.bitWidth) dev lo \($0.family == .ipv6 ? "nodad" : "")" }
        try namespace.require(
            ["sh", "-ec", "ip -batch -; \(Self.settings)"],
            input: """
                link set lo up
                tuntap add dev in0 mode tun
                tuntap add dev out0 mode tun
                link set in0 addrgenmode none up
                link set out0 addrgenmode none up
                addr add 100.64.0.1/32 dev out0
                addr add fd00:64::1/128 dev out0 nodad
                route add 0.0.0.0/0 dev out0
                route add ::/0 dev out0
                \(lines.joined(separator: "\n"))

                """)
    }

    /// A router that takes packets from anywhere, and refuses as many as there are. Kernels that have the last of these
    /// for the whole machine are as they are.
    private static let settings = """
        sysctl -eqw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
        net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.in0.rp_filter=0 \
        net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratemask= net.ipv6.icmp.ratelimit=0 \
        net.ipv4.icmp_msgs_per_sec=1000000000 net.ipv4.icmp_msgs_burst=1000000000
        """

    /// Commits batches, sends each packet so many times and returns what was seen of each, with how often.
    func send(_ packets: [(Packet, times: Int)], through batches: [NFTablesBatch]) throws -> [[Sighting: Int]] {
        var job = local.map { "local \($0)\n" }.joined()
        for batch in batches {
            let offsets = batch.offsets.map(String.init).joined(separator: ",")
            job += "commit \(batch.family.rawValue) \(batch.table) \(offsets) \(Self.hex(batch.bytes))\n"
        }
        for (packet, times) in packets {
            job += "probe \(times) \(packet.source) \(packet.protocol.rawValue) \(packet.destination) \(packet.port)\n"
        }
        let output = try namespace.require([BuiltProducts.packetPeer], input: job)
        var sightings = Array(repeating: [Sighting: Int](), count: packets.count)
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ")
            let number = try #require(words.first.flatMap { Int($0) }, "\(line)")
            let times = try #require(words.dropFirst().first.flatMap { Int($0) }, "\(line)")
            let sighting = try #require(Sighting(Array(words.dropFirst(2))), "\(line)")
            try #require(sightings.indices.contains(number))
            sightings[number][sighting] = times
        }
        return sightings
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 0xf)]] }, as: UTF8.self)
    }
}
