import Glibc
public import ProxyCore

/// What only a live node knows and what decides about rules.
public struct NodeFacts: Hashable, Sendable {
    /// An address of a network interface.
    public struct InterfaceAddress: Hashable, Sendable {
        public var interface: String
        public var address: IPAddress
        public var prefixLength: Int
    }

    /// Of all interfaces, in the kernel's order; link-local and loopback ones among them.
    public var addresses: [InterfaceAddress]
    /// True where the kernel does not call packets outside the TCP window invalid; false where there is no connection
    /// tracking. The setting is net.netfilter.nf_conntrack_tcp_be_liberal.
    public var conntrackIsLiberal: Bool
    /// False where a program found is too old for `MASQUERADE --random-fully`.
    public var masqueradesRandomly: Bool

    /// Asks the kernel that this process runs on. Of `access`, only the settings under /proc/sys are read through the
    /// command prefix: the addresses are those of this process's own network namespace.
    public static func gather(_ access: NodeAccess = NodeAccess(), tools: [IPTablesTools] = []) async -> NodeFacts {
        let liberal = await access.readFile("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal") ?? ""
        return NodeFacts(
            addresses: interfaceAddresses(),
            conntrackIsLiberal: (Int(liberal.trimmed) ?? 0) != 0,
            masqueradesRandomly: tools.allSatisfy(\.version.supportsRandomFully))
    }

    /// True where the kernel routes packets with loopback addresses, as node ports on loopback need it.
    public static func routesLoopback(_ access: NodeAccess = NodeAccess()) async -> Bool {
        await access.readFile("/proc/sys/net/ipv4/conf/all/route_localnet")?.trimmed == "1"
    }

    /// The name that the kernel has for this host, as it is: no resolver is asked (uname(2)).
    public static func hostName() -> String { name(\.nodename) }

    /// Such as `6.1.0-18-amd64` (uname(2)).
    public static func kernelRelease() -> String { name(\.release) }

    /// Empty where the kernel does not say.
    private static func name<Characters>(_ part: KeyPath<utsname, Characters>) -> String {
        var name = utsname()
        guard uname(&name) == 0 else { return "" }
        return withUnsafeBytes(of: name[keyPath: part]) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The addresses of all interfaces of this process's network namespace, in the kernel's order.
    static func interfaceAddresses() -> [InterfaceAddress] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        return sequence(first: first, next: { $0?.pointee.ifa_next }).compactMap { entry in
            guard let entry = entry?.pointee, let socketAddress = entry.ifa_addr,
                let address = IPAddress(UnsafeRawPointer(socketAddress))
            else { return nil }
            let bits = entry.ifa_netmask.map { prefixLength(ofMask: UnsafeRawPointer($0), address.family) }
            return InterfaceAddress(
                interface: String(cString: entry.ifa_name), address: address,
                prefixLength: bits ?? address.family.bitWidth)
        }
    }

    private static func prefixLength(ofMask mask: UnsafeRawPointer, _ family: IPFamily) -> Int {
        let bytes = UnsafeRawBufferPointer(
            start: mask + SocketAddressOffset.address(family), count: family.bitWidth / 8)
        return bytes.reduce(0) { $0 + $1.nonzeroBitCount }
    }
}

extension HostFacts {
    /// What the rules of iptables depend on, read from this node.
    public init(ofThisNode tools: IPTablesTools, _ access: NodeAccess = NodeAccess()) async {
        self.init(await NodeFacts.gather(access, tools: [tools]))
    }

    /// What rules depend on that no program of iptables reads, read from this node.
    public init(ofThisNode access: NodeAccess = NodeAccess()) async {
        self.init(await NodeFacts.gather(access))
    }

    private init(_ node: NodeFacts) {
        // What stands on the device of ipvs mode belongs to services, and was put there by us or by a kube-proxy.
        let own = node.addresses.filter { $0.interface != ServiceDevice.kubeProxyName }
        self.init(
            addresses: own.map(\.address), conntrackIsLiberal: node.conntrackIsLiberal,
            masqueradesRandomly: node.masqueradesRandomly, kernelRelease: NodeFacts.kernelRelease())
    }
}

/// Where an address lies in sockaddr_in and sockaddr_in6.
private enum SocketAddressOffset {
    static func address(_ family: IPFamily) -> Int { family == .ipv4 ? 4 : 8 }
}

extension IPAddress {
    /// The address in a sockaddr_in or sockaddr_in6; nil for any other kind, such as the packet addresses that
    /// getifaddrs lists too.
    fileprivate init?(_ socketAddress: UnsafeRawPointer) {
        switch Int32(socketAddress.loadUnaligned(as: sa_family_t.self)) {
        case AF_INET:
            let start = SocketAddressOffset.address(.ipv4)
            self.init(ipv4: UInt32(bigEndian: socketAddress.loadUnaligned(fromByteOffset: start, as: UInt32.self)))
        case AF_INET6:
            let start = SocketAddressOffset.address(.ipv6)
            self.init(
                high: UInt64(bigEndian: socketAddress.loadUnaligned(fromByteOffset: start, as: UInt64.self)),
                low: UInt64(bigEndian: socketAddress.loadUnaligned(fromByteOffset: start + 8, as: UInt64.self)))
        default: return nil
        }
    }
}
