import CMnl
import Glibc
import ProxyCore

/// The messages of rtnetlink(7) for one device and its addresses.
enum DeviceMessages {
    /// A device as the kernel describes it.
    struct Found: Hashable {
        var index: UInt32
        /// Such as `dummy`; empty for a device of hardware.
        var kind: String

        init?(_ message: NetlinkMessage) {
            // ifinfomsg: the index is the third field.
            guard let index = message.payload.hostEndian(UInt32.self, at: 4) else { return nil }
            self.index = index
            let attributes = NetlinkAttributes(message.payload.dropFirst(DeviceMessages.linkHeader))
            kind = attributes[IFLA_LINKINFO]?.nested[IFLA_INFO_KIND]?.payload.string ?? ""
        }
    }

    static let kind = "dummy"
    private static let linkHeader = 16
    private static let addressHeader = 8
    private static let routeHeader = 12

    static func find(_ name: String) -> NetlinkBatch { link(RTM_GETLINK, name) }

    /// Such a device answers to no ARP, and is left down: its addresses are for the routing of this node alone.
    static func create(_ name: String) -> NetlinkBatch {
        link(RTM_NEWLINK, name, flags: NLM_F_CREATE | NLM_F_EXCL) {
            $0.nest(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, string: kind) }
        }
    }

    static func delete(_ name: String) -> NetlinkBatch { link(RTM_DELLINK, name) }

    /// An address of IPv6 is added as a deprecated one: the kernel looks among those of all devices, also of one that is
    /// down, for a source that resembles the destination most, and would send to endpoints from a service's address. A
    /// deprecated one it takes for what is sent to that very address alone (RFC 6724, section 5).
    ///
    /// - Parameter isThere: whether to change one that is there.
    static func append(
        additionOf address: IPAddress, to device: UInt32, isThere: Bool = false, _ batch: inout NetlinkBatch
    ) {
        append(RTM_NEWADDR, flags: isThere ? NLM_F_REPLACE : NLM_F_CREATE | NLM_F_EXCL, address, device, to: &batch) {
            guard address.family == .ipv6 else { return }
            // ifa_cacheinfo: seconds for which it is preferred and valid, the latter without end, and two times.
            let lifetimes: [UInt32] = [0, .max, 0, 0]
            $0.put(IFA_CACHEINFO, lifetimes.withUnsafeBytes { Array($0) })
        }
    }

    static func append(deletionOf address: IPAddress, from device: UInt32, _ batch: inout NetlinkBatch) {
        append(RTM_DELADDR, address, device, to: &batch)
    }

    /// Asks for the addresses of a family of all devices: older kernels do not choose.
    static func listAddresses(_ family: IPFamily) -> NetlinkBatch {
        var batch = NetlinkBatch()
        batch.append(type: UInt16(RTM_GETADDR), header: [family.number] + [UInt8](repeating: 0, count: 7))
        return batch
    }

    /// An address that stands alone on a device, as ours do; nil for all others.
    static func address(_ message: NetlinkMessage, of device: UInt32) -> IPAddress? {
        // ifaddrmsg: family, length of the prefix, flags, scope, index.
        guard let header = message.payload.hostEndian(UInt32.self).map({ withUnsafeBytes(of: $0) { Array($0) } }),
            message.payload.hostEndian(UInt32.self, at: 4) == device
        else { return nil }
        let attributes = NetlinkAttributes(message.payload.dropFirst(addressHeader))
        guard let bytes = (attributes[IFA_LOCAL] ?? attributes[IFA_ADDRESS])?.payload,
            let address = IPAddress(networkBytes: bytes), address.family == IPFamily(number: Int32(header[0])),
            Int(header[1]) == address.family.bitWidth
        else { return nil }
        return address
    }

    /// True where the kernel may send from an address of a listing whatever the destination.
    static func isPreferred(_ message: NetlinkMessage) -> Bool {
        message.payload.dropFirst(2).first.map { $0 & deprecated == 0 } ?? false
    }

    /// IFA_F_DEPRECATED of linux/if_addr.h.
    private static let deprecated: UInt8 = 0x20

    /// Lets connections of this node to an address of a device begin from another address than that itself, which they
    /// do otherwise: the local route to it names a source then.
    ///
    /// In IPv4 that is the kernel's own route. In IPv6 the kernel takes none for a device that is down: so it is one of
    /// the loopback device, and the kernel's own goes.
    static func append(
        routeTo address: IPAddress, of device: UInt32, over loopback: UInt32, from source: IPAddress,
        _ batch: inout NetlinkBatch
    ) {
        let isIPv4 = address.family == .ipv4
        appendRoute(
            RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE, to: address, isIPv4 ? device : loopback, source,
            isOwn: !isIPv4, &batch)
        if !isIPv4 { appendRoute(RTM_DELROUTE, to: address, device, nil, isOwn: false, &batch) }
    }

    /// Takes such a route away, which outlives the address.
    static func append(
        deletionOfRouteTo address: IPAddress, of device: UInt32, over loopback: UInt32, _ batch: inout NetlinkBatch
    ) {
        let isIPv4 = address.family == .ipv4
        appendRoute(RTM_DELROUTE, to: address, isIPv4 ? device : loopback, nil, isOwn: !isIPv4, &batch)
    }

    /// Asks by which route the node sends to an address.
    static func findRoute(to address: IPAddress) -> NetlinkBatch {
        var batch = NetlinkBatch()
        let header = [address.family.number, UInt8(address.family.bitWidth)] + [UInt8](repeating: 0, count: 10)
        batch.append(type: UInt16(RTM_GETROUTE), header: header) { $0.put(Int(RTA_DST.rawValue), address.networkBytes) }
        return batch
    }

    /// The source of what is sent by a route.
    static func source(_ message: NetlinkMessage) -> IPAddress? {
        NetlinkAttributes(message.payload.dropFirst(routeHeader))[Int(RTA_PREFSRC.rawValue)]
            .flatMap { IPAddress(networkBytes: $0.payload) }
    }

    /// Asks for the routes of a family in all tables: older kernels do not choose.
    static func listRoutes(_ family: IPFamily) -> NetlinkBatch {
        var batch = NetlinkBatch()
        let header = [family.number] + [UInt8](repeating: 0, count: routeHeader - 1)
        batch.append(type: UInt16(RTM_GETROUTE), header: header)
        return batch
    }

    /// The address to which `append(routeTo:)` has made the route of a listing; nil for all others.
    static func lentAddress(_ message: NetlinkMessage, of device: UInt32?) -> IPAddress? {
        let header = Array(message.payload.prefix(routeHeader))
        let attributes = NetlinkAttributes(message.payload.dropFirst(routeHeader))
        guard header.count == routeHeader, header[4] == UInt8(RT_TABLE_LOCAL.rawValue),
            header[7] == UInt8(RTN_LOCAL), let family = IPFamily(number: Int32(header[0])),
            Int(header[1]) == family.bitWidth,
            let address = attributes[Int(RTA_DST.rawValue)].flatMap({ IPAddress(networkBytes: $0.payload) })
        else { return nil }
        if family == .ipv6 { return header[5] == ownProtocol ? address : nil }
        let source = attributes[Int(RTA_PREFSRC.rawValue)].flatMap { IPAddress(networkBytes: $0.payload) }
        let index = attributes[Int(RTA_OIF.rawValue)]?.payload.hostEndian(UInt32.self)
        return index == device && source != address ? address : nil
    }

    /// By which our routes are known (rtm_protocol of rtnetlink(7)): a number that no routing daemon has
    /// (linux/rtnetlink.h).
    private static let ownProtocol: UInt8 = 83

    /// - Parameter isOwn: false for what the kernel has made.
    private static func appendRoute(
        _ type: Int, flags: Int32 = 0, to address: IPAddress, _ device: UInt32, _ source: IPAddress?, isOwn: Bool,
        _ batch: inout NetlinkBatch
    ) {
        // rtmsg: family, lengths of destination and source, TOS, table, who made it, scope, type, flags.
        let header: [UInt8] = [
            address.family.number, UInt8(address.family.bitWidth), 0, 0, UInt8(RT_TABLE_LOCAL.rawValue),
            isOwn ? ownProtocol : UInt8(RTPROT_KERNEL), UInt8(RT_SCOPE_HOST.rawValue), UInt8(RTN_LOCAL), 0, 0, 0, 0,
        ]
        batch.append(type: UInt16(truncatingIfNeeded: type), flags: flags, header: header) {
            $0.put(Int(RTA_DST.rawValue), address.networkBytes)
            $0.put(Int(RTA_OIF.rawValue), hostEndian: device)
            if isOwn { $0.put(Int(RTA_PRIORITY.rawValue), hostEndian: UInt32(1)) }
            if let source { $0.put(Int(RTA_PREFSRC.rawValue), source.networkBytes) }
        }
    }

    private static func link(
        _ type: Int, _ name: String, flags: Int32 = 0, _ attributes: (inout NetlinkWriter) -> Void = { _ in }
    ) -> NetlinkBatch {
        var batch = NetlinkBatch()
        let header = [UInt8](repeating: 0, count: linkHeader)
        batch.append(type: UInt16(truncatingIfNeeded: type), flags: flags, header: header) {
            $0.put(IFLA_IFNAME, string: name)
            attributes(&$0)
        }
        return batch
    }

    private static func append(
        _ type: Int, flags: Int32 = 0, _ address: IPAddress, _ device: UInt32, to batch: inout NetlinkBatch,
        _ attributes: (inout NetlinkWriter) -> Void = { _ in }
    ) {
        let family = address.family
        let header =
            [family.number, UInt8(family.bitWidth), 0, UInt8(RT_SCOPE_UNIVERSE.rawValue)]
            + withUnsafeBytes(of: device) { Array($0) }
        batch.append(type: UInt16(truncatingIfNeeded: type), flags: flags, header: header) {
            $0.put(IFA_LOCAL, address.networkBytes)
            $0.put(IFA_ADDRESS, address.networkBytes)
            attributes(&$0)
        }
    }
}
