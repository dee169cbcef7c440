import BenchSupport
import CUnshare
import Glibc
import TestSupport

/// A node in a network namespace of its own that packets of pods come to by one TUN device and leave by another.
///
/// What is written to a TUN device goes its way through the kernel before the call returns, so that writing a packet and
/// reading it at the other device takes what its way takes: hooks, connection tracking, routing, no scheduler.
final class PacketPath {
    private let pods: Int32
    private let servers: Int32
    private var buffer = [UInt8](repeating: 0, count: 2048)

    /// Moves the calling thread to the namespace, which lives as long as the devices.
    init() throws {
        guard unshare(SWITCHYARD_NEW_NETWORK_NAMESPACE) == 0 else { throw Failure("unshare: errno \(errno)") }
        try Self.set("net/ipv6/conf/default/disable_ipv6", "1")
        try Self.set("net/ipv4/conf/default/rp_filter", "0")
        try Self.set("net/ipv4/conf/all/rp_filter", "0")
        try Self.set("net/ipv4/ip_forward", "1")
        pods = try Self.makeDevice("pods")
        servers = try Self.makeDevice("servers")
        try Command.require(
            ["ip", "-batch", "-"],
            input: """
                address add 192.168.0.1/32 dev pods
                link set pods up
                link set servers up
                route add 10.200.0.0/16 dev pods
                route add 10.0.0.0/9 dev servers

                """)
    }

    deinit {
        close(pods)
        close(servers)
    }

    /// The time until a packet comes out, and the packet as it is then.
    func time(of packet: Packet) throws -> (time: Duration, packet: Packet) {
        let start = ContinuousClock.now
        guard write(pods, packet.bytes, packet.bytes.count) == packet.bytes.count else {
            throw Failure("writing a packet: errno \(errno)")
        }
        var count = read(servers, &buffer, buffer.count)
        let time = ContinuousClock.now - start
        if count < 0, errno == EAGAIN {
            var entry = pollfd(fd: servers, events: Int16(POLLIN), revents: 0)
            let isThere = poll(&entry, 1, 1000) > 0
            guard isThere else { throw Failure("a packet to \(packet.destination) does not come out") }
            count = read(servers, &buffer, buffer.count)
            return (.now - start, Packet(bytes: Array(buffer[..<max(count, 0)])))
        }
        return (time, Packet(bytes: Array(buffer[..<max(count, 0)])))
    }

    private static func set(_ path: String, _ value: String) throws {
        let descriptor = open("/proc/sys/" + path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("\(path): errno \(errno)") }
        defer { close(descriptor) }
        guard write(descriptor, value, value.utf8.count) > 0 else { throw Failure("\(path): errno \(errno)") }
    }

    /// Makes a device that carries bare IP packets and is gone with its descriptor.
    private static func makeDevice(_ name: String) throws -> Int32 {
        let descriptor = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Failure("/dev/net/tun: errno \(errno)") }
        // struct ifreq: the name, then the flags IFF_TUN and IFF_NO_PI of linux/if_tun.h.
        var request = [UInt8](repeating: 0, count: 40)
        request.replaceSubrange(0..<name.utf8.count, with: name.utf8)
        request.withUnsafeMutableBytes { $0.storeBytes(of: 0x1001, toByteOffset: 16, as: Int16.self) }
        // TUNSETIFF, whose value Swift does not see as it is made of a macro.
        guard ioctl(descriptor, 0x4004_54ca, &request) == 0 else {
            defer { close(descriptor) }
            throw Failure("TUNSETIFF: errno \(errno)")
        }
        return descriptor
    }
}
