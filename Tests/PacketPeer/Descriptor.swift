import Glibc
import ProxyCore

/// Owns a descriptor that does not block.
final class Descriptor {
    let number: Int32

    /// - Parameter call: what a failure is called.
    init(_ number: Int32, _ call: String) throws(PeerFailure) {
        guard number >= 0 else { throw PeerFailure(call: call) }
        self.number = number
    }

    deinit { close(number) }

    /// Attaches to a TUN device that is there: what is written to it arrives by it, and what is sent out of it is read.
    static func tun(_ name: String) throws(PeerFailure) -> Descriptor {
        let device = try Descriptor(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), "open /dev/net/tun")
        // struct ifreq: 16 bytes of name, then flags (linux/if.h).
        var request = [UInt8](repeating: 0, count: 40)
        for (index, byte) in name.utf8.prefix(15).enumerated() { request[index] = byte }
        // IFF_TUN, and IFF_NO_PI: nothing before the header of IP (linux/if_tun.h).
        withUnsafeBytes(of: UInt16(0x1001)) { for (index, byte) in $0.enumerated() { request[16 + index] = byte } }
        // TUNSETIFF.
        guard ioctl(device.number, 0x4004_54ca, &request) == 0 else { throw PeerFailure(call: "attach to \(name)") }
        return device
    }

    /// A socket for packets with a header of our own.
    static func sender(_ family: IPFamily) throws(PeerFailure) -> Descriptor {
        try raw(family, Int32(IPPROTO_RAW))
    }

    /// A socket that gets a copy of what is delivered to the node, after all rules.
    ///
    /// - Parameter address: of the node; nil for all.
    static func receiver(_ family: IPFamily, _ number: UInt8, at address: IPAddress?) throws(PeerFailure) -> Descriptor
    {
        let socket = try raw(family, Int32(number))
        if let address {
            let status = SocketAddress(address).withPointer { bind(socket.number, $0, $1) }
            guard status == 0 else { throw PeerFailure(call: "bind to \(address)") }
        }
        return socket
    }

    private static func raw(_ family: IPFamily, _ number: Int32) throws(PeerFailure) -> Descriptor {
        let type = Int32(SOCK_RAW.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        return try Descriptor(socket(family == .ipv4 ? AF_INET : AF_INET6, type, number), "raw socket")
    }
}

/// An address as calls of sockets take it; the port is 0, as raw sockets have none.
struct SocketAddress {
    private var storage = sockaddr_storage()
    private let length: socklen_t

    init(_ address: IPAddress) {
        let bytes = address.bytes
        // The address follows family and port in sockaddr_in, and a flow label of 4 bytes more in sockaddr_in6.
        let offset = bytes.count == 4 ? 4 : 8
        length = socklen_t(bytes.count == 4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size)
        withUnsafeMutableBytes(of: &storage) {
            $0.storeBytes(of: sa_family_t(bytes.count == 4 ? AF_INET : AF_INET6), as: sa_family_t.self)
            for (index, byte) in bytes.enumerated() { $0[offset + index] = byte }
        }
    }

    func withPointer<Value>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
        withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
