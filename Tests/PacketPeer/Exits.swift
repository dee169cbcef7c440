import Glibc
import ProxyCore

/// All the places where a packet can come out of the node.
struct Exits {
    private struct Receiver {
        let descriptor: Descriptor
        let family: IPFamily
        let `protocol`: UInt8
        /// Nil for what goes to any address.
        let address: IPAddress?
    }

    private let device: Descriptor
    private let receivers: [Receiver]
    private var entries: [pollfd]
    private var buffer = [UInt8](repeating: 0, count: 2048)

    /// - Parameter local: the addresses of the node.
    init(local: [IPAddress]) throws(PeerFailure) {
        device = try .tun("out0")
        var receivers: [Receiver] = []
        func add(_ family: IPFamily, _ number: UInt8, at address: IPAddress?) throws(PeerFailure) {
            let descriptor = try Descriptor.receiver(family, number, at: address)
            receivers.append(.init(descriptor: descriptor, family: family, protocol: number, address: address))
        }
        for address in local {
            for transport in TransportProtocol.allCases {
                try add(address.family, transport.number, at: address)
            }
        }
        try add(.ipv4, UInt8(IPPROTO_ICMP), at: nil)
        try add(.ipv6, UInt8(IPPROTO_ICMPV6), at: nil)
        self.receivers = receivers
        entries = ([device] + receivers.map(\.descriptor)).map {
            pollfd(fd: $0.number, events: Int16(POLLIN), revents: 0)
        }
    }

    /// Waits for packets and returns all that are there, those of other kinds left out; nil if nothing came in
    /// time.
    ///
    /// - Parameter timeout: milliseconds.
    mutating func next(within timeout: Int32) throws(PeerFailure) -> [ArrivedPacket]? {
        let ready = poll(&entries, nfds_t(entries.count), timeout)
        guard ready >= 0 else { throw PeerFailure(call: "poll") }
        guard ready > 0 else { return nil }
        var arrived: [ArrivedPacket] = []
        for (index, entry) in entries.enumerated() where entry.revents != 0 {
            if index == 0 {
                while case let count = read(device.number, &buffer, buffer.count), count > 0 {
                    let packet = buffer.withUnsafeBytes { ArrivedPacket(.init(rebasing: $0[..<count])) }
                    if var packet {
                        packet.hasLeft = true
                        arrived.append(packet)
                    }
                }
            } else {
                receive(receivers[index - 1], into: &arrived)
            }
        }
        return arrived
    }

    private mutating func receive(_ receiver: Receiver, into arrived: inout [ArrivedPacket]) {
        var peer = sockaddr_storage()
        while true {
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &peer) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(receiver.descriptor.number, &buffer, buffer.count, 0, $0, &length)
                }
            }
            guard count > 0 else { return }
            let packet = buffer.withUnsafeBytes { bytes -> ArrivedPacket? in
                let bytes = UnsafeRawBufferPointer(rebasing: bytes[..<count])
                // Sockets of IPv6 leave the header out; its addresses are the sender's and the one that is bound to.
                guard receiver.family == .ipv6 else { return ArrivedPacket(bytes) }
                let source = withUnsafeBytes(of: peer) { IPAddress(.init(rebasing: $0[8..<24])) }
                return ArrivedPacket(
                    protocol: receiver.protocol, bytes, from: source, to: receiver.address ?? source)
            }
            if let packet { arrived.append(packet) }
        }
    }
}
