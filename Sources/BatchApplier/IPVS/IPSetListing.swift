import CMnl
import Glibc
import ProxyCore

/// Sets out of the kernel's messages. A large set comes in several, of which the first has the header.
struct IPSetListing {
    private(set) var sets: [String: FoundIPSet] = [:]

    mutating func received(_ message: NetlinkMessage) {
        let attributes = message.netfilterAttributes
        guard let name = attributes[IPSET_ATTR_SETNAME]?.payload.string else { return }
        if let header = Self.header(name, attributes) { sets[name] = FoundIPSet(header: header) }
        guard let type = sets[name]?.header.type, let list = attributes[IPSET_ATTR_ADT] else { return }
        for element in list.nested where Int(element.type) == IPSET_ATTR_DATA {
            if let entry = IPSetEntry(element.nested, ofType: type) {
                sets[name]?.entries.insert(entry)
            } else {
                sets[name]?.unknownEntryCount += 1
            }
        }
    }

    private static func header(_ name: String, _ attributes: NetlinkAttributes) -> IPSetHeader? {
        guard let type = attributes[IPSET_ATTR_TYPENAME]?.payload.string else { return nil }
        var header = IPSetHeader(
            name: name, type: type,
            family: attributes[IPSET_ATTR_FAMILY]?.payload.first.flatMap { IPFamily(number: Int32($0)) })
        guard let data = attributes[IPSET_ATTR_DATA]?.nested else { return header }
        func number(_ type: Int) -> Int? { data[type]?.payload.bigEndian(UInt32.self).map(Int.init) }
        header.maximumSize = number(IPSET_ATTR_MAXELEM)
        header.timeout = number(IPSET_ATTR_TIMEOUT)
        header.references = number(IPSET_ATTR_REFERENCES) ?? 0
        header.entryCount = number(IPSET_ATTR_ELEMENTS)
        if let first = data[IPSET_ATTR_PORT_FROM]?.payload.bigEndian(UInt16.self),
            let last = data[IPSET_ATTR_PORT_TO]?.payload.bigEndian(UInt16.self), first <= last
        {
            header.ports = first...last
        }
        return header
    }
}

extension IPSetEntry {
    /// Nil for what is none of ours: another type of set, another protocol, an exception, an entry that times out.
    init?(_ attributes: NetlinkAttributes, ofType type: String) {
        guard let kind = IPSet.Kind(rawValue: type) else { return nil }
        var fields = Fields()
        for attribute in attributes { guard fields.take(attribute) else { return nil } }
        switch kind {
        case .addresses:
            guard let address = fields.address else { return nil }
            self = .address(address)
        case .addressesAndPorts:
            guard let key = fields.key else { return nil }
            self = .addressAndPort(key)
        case .pairs:
            guard let key = fields.key, let other = fields.other else { return nil }
            self = .pair(key, other)
        case .ranges:
            guard let key = fields.key, let base = fields.other,
                let range = CIDR(base: base, prefixLength: fields.prefixLength ?? base.family.bitWidth)
            else { return nil }
            self = .range(key, range)
        case .ports:
            guard let port = fields.port else { return nil }
            self = .port(port)
        }
    }

    private struct Fields {
        var address: IPAddress?
        var other: IPAddress?
        var port: UInt16?
        var transport: TransportProtocol?
        var prefixLength: Int?

        var key: VirtualServer.Key? {
            guard let address, let transport, let port else { return nil }
            return VirtualServer.Key(address, transport, port)
        }

        /// False for what makes the entry another one than its address and port say.
        mutating func take(_ attribute: NetlinkAttribute) -> Bool {
            switch Int(attribute.type) {
            case IPSET_ATTR_IP:
                address = Self.address(attribute)
                return address != nil
            case IPSET_ATTR_IP2:
                other = Self.address(attribute)
                return other != nil
            case IPSET_ATTR_PORT: port = attribute.payload.bigEndian()
            case IPSET_ATTR_PROTO:
                transport = attribute.payload.first.flatMap { TransportProtocol(number: Int($0)) }
                return transport != nil
            case IPSET_ATTR_CIDR2: prefixLength = attribute.payload.first.map(Int.init)
            case IPSET_ATTR_TIMEOUT, IPSET_ATTR_CIDR, IPSET_ATTR_IP_TO, IPSET_ATTR_PORT_TO: return false
            // An exception to the other entries (nomatch).
            case IPSET_ATTR_CADT_FLAGS: return attribute.payload.bigEndian(UInt32.self) == 0
            default: break
            }
            return true
        }

        /// Nil also for an IPv4 address in the mapped form of IPv6: we write none.
        private static func address(_ attribute: NetlinkAttribute) -> IPAddress? {
            for part in attribute.nested {
                guard let address = IPAddress(networkBytes: part.payload) else { return nil }
                switch (Int(part.type), address.family) {
                case (IPSET_ATTR_IPADDR_IPV4, .ipv4), (IPSET_ATTR_IPADDR_IPV6, .ipv6): return address
                default: return nil
                }
            }
            return nil
        }
    }
}
