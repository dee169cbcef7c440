import Glibc
import ProxyCore

/// Sends first packets into the node that this namespace stands for, and sees where they come out.
///
/// What comes from elsewhere is written to the device `in0`, what comes from the node itself is sent by a raw socket.
/// What leaves the node is read from `out0`, what stays on it from raw sockets.
struct PacketLab {
    /// What the numbers of probes and of markers begin with.
    private enum Mark {
        static let probe: UInt32 = 0xa5 << 24
        static let marker: UInt32 = 0xa6 << 24
        static let mask: UInt32 = 0xff << 24
    }

    /// How many packets are on their way at a time: the queue of a TUN device takes 500, and the buffer of a socket
    /// some 250.
    private static let batchSize = 64
    /// How many connections the kernel may have to know. Fewer than there are source ports, so that each is new.
    private static let connections = 16_384

    private let probes: [Job.Probe]
    private let local: Set<IPAddress>
    private let entrance: Descriptor
    private let senders: [IPFamily: Descriptor]
    private var exits: Exits

    private var results: [[Sighting: Int]]
    private var sent: UInt32 = 0
    private var markers: UInt32 = 0
    /// The probes that are on their way, by number.
    private var underway: [UInt32: (probe: Int, sightings: [Sighting])] = [:]

    init(local: [IPAddress], probes: [Job.Probe]) throws(PeerFailure) {
        self.probes = probes
        self.local = Set(local)
        entrance = try .tun("in0")
        exits = try Exits(local: local)
        var senders: [IPFamily: Descriptor] = [:]
        for family in IPFamily.allCases { senders[family] = try .sender(family) }
        self.senders = senders
        results = Array(repeating: [:], count: probes.count)
    }

    mutating func run() throws {
        // On one processor a packet that is sent later comes later through all that the kernel does.
        try Processor.stay()
        try waitForDevice()
        for (index, probe) in probes.enumerated() {
            var packet = FirstPacket(probe.packet)
            for _ in 0..<probe.times {
                try send(&packet, of: index)
                if underway.count == Self.batchSize { try collect(probe.packet.family) }
            }
            if probes.indices.contains(index + 1), probes[index + 1].packet.family != probe.packet.family {
                try collect(probe.packet.family)
            }
        }
        if let family = probes.last?.packet.family { try collect(family) }
    }

    /// A device sends nothing before the kernel, on a thread of its own, has taken note that somebody reads from it.
    private mutating func waitForDevice() throws(PeerFailure) {
        for _ in 0..<2000 {
            guard let packet = Marked.packet(.ipv4) else { break }
            if try comesOut(packet, within: 5) { return }
        }
        throw PeerFailure("out0 does not send")
    }

    private mutating func send(_ packet: inout FirstPacket, of index: Int) throws {
        if sent > 0, Int(sent) % Self.connections == 0 {
            try collect(probes[index].packet.family)
            try ConnectionTable.flush()
        }
        let number = Mark.probe | sent
        sent += 1
        packet.set(number: number, sourcePort: Self.sourcePort(number))
        underway[number] = (index, [])
        try send(packet, probes[index].packet)
    }

    private static func sourcePort(_ number: UInt32) -> UInt16 { 1024 + UInt16((number & ~Mark.mask) % 60_000) }

    private func send(_ bytes: FirstPacket, _ packet: Packet) throws(PeerFailure) {
        guard local.contains(packet.source) || packet.source.isLoopback, let sender = senders[packet.family] else {
            let count = write(entrance.number, bytes.bytes, bytes.bytes.count)
            guard count == bytes.bytes.count else { throw PeerFailure(call: "\(packet): write to in0") }
            return
        }
        let count = SocketAddress(packet.destination).withPointer {
            sendto(sender.number, bytes.bytes, bytes.bytes.count, 0, $0, $1)
        }
        // A rule of this very host took the packet.
        guard count == bytes.bytes.count || errno == EPERM else { throw PeerFailure(call: "\(packet): send") }
    }

    // MARK: - What comes out

    /// Waits until there is no more to come of the packets that are on their way, and counts what came.
    private mutating func collect(_ family: IPFamily) throws(PeerFailure) {
        // What a packet that stays on the node brings about may be queued behind the first marker.
        let inside = IPAddress.loopback(family)
        let markers = [
            Marked.packet(family), Packet(from: inside, to: inside, port: 9, protocol: .udp),
            Packet(from: inside, to: inside, port: 9, protocol: .udp),
        ]
        for case let packet? in markers {
            guard try comesOut(packet, within: 10_000) else { throw PeerFailure("a marker did not come out") }
        }
        for (probe, sightings) in underway.values {
            // Nobody listens on the node, so that what was delivered is answered by its stack.
            let isDelivered = sightings.contains(where: \.isDelivered)
            for sighting in sightings where !(isDelivered && sighting.isUnreachable) {
                results[probe][sighting, default: 0] += 1
            }
        }
        underway.removeAll(keepingCapacity: true)
    }

    /// Sends a marker and takes all that comes until it comes; false if it does not.
    ///
    /// - Parameter timeout: milliseconds without anything.
    private mutating func comesOut(_ packet: Packet, within timeout: Int32) throws(PeerFailure) -> Bool {
        markers += 1
        let number = Mark.marker | (markers & ~Mark.mask)
        var bytes = FirstPacket(packet)
        bytes.set(number: number, sourcePort: Self.sourcePort(number))
        try send(bytes, packet)
        while true {
            guard let arrived = try exits.next(within: timeout) else { return false }
            arrived.forEach { note($0) }
            if arrived.contains(where: { $0.number == number }) { return true }
        }
    }

    private mutating func note(_ arrived: ArrivedPacket) {
        guard let probe = underway[arrived.number]?.probe else { return }
        let sighting = sighting(arrived, of: probes[probe].packet)
        underway[arrived.number]?.sightings.append(sighting)
    }

    private func sighting(_ arrived: ArrivedPacket, of packet: Packet) -> Sighting {
        guard arrived.isIntact else { return .damaged }
        switch arrived.kind {
        case .unreachable(let code): return .unreachable(code: code)
        case .probe(let source, let sourcePort, let destination, let port):
            let isKept = source == packet.source && sourcePort == Self.sourcePort(arrived.number)
            let shown = isKept ? nil : source
            return arrived.hasLeft
                ? .forwarded(to: destination, port: port, from: shown)
                : .delivered(to: destination, port: port, from: shown)
        }
    }

    /// A line for each probe and what was seen: the probe's number, how often, and what.
    func report() {
        var text = ""
        for (index, sightings) in results.enumerated() {
            for (sighting, times) in sightings { text += "\(index) \(times) \(sighting)\n" }
        }
        let bytes = Array(text.utf8)
        var start = 0
        while start < bytes.count {
            let count = bytes[start...].withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            start += count
        }
    }
}

/// Hosts that no cluster has: the network in which the node's address by which packets leave is, too.
private enum Marked {
    /// From one such host to another, so that it passes through the node.
    static func packet(_ family: IPFamily) -> Packet? {
        Packet(from: host(family, 9), to: host(family, 10), port: 9, protocol: .udp)
    }

    /// 100.64.0.N or fd00:64::N.
    private static func host(_ family: IPFamily, _ number: UInt8) -> IPAddress {
        family == .ipv4
            ? IPAddress(ipv4: 0x6440_0000 | UInt32(number))
            : IPAddress(high: 0xfd00_0064_0000_0000, low: UInt64(number))
    }
}
