import CNftnl
import ProxyCore

/// Sets without a name of their own, which one lookup of one rule uses.
extension NFTKernelTable.Set {
    /// The ranges that a field of a packet is matched with; overlapping and neighbouring ones are one.
    ///
    /// - Parameter isRanges: false for single addresses; nft makes another kind of set of one that is spelled as a range.
    static func addresses(
        _ ranges: [CIDR], isRanges: Bool, of field: NFTField, _ family: IPFamily, name: String
    ) -> Self {
        let flags = NFT_SET_ANONYMOUS.rawValue | NFT_SET_CONSTANT.rawValue
        let type = [NFTType.address]
        var set = Self(
            name: name, flags: isRanges ? flags | NFT_SET_INTERVAL.rawValue : flags, keyType: type.number(family),
            keyLength: UInt32(type.length(family)), size: UInt32(clamping: ranges.count),
            userData: NFTUserData.addresses(of: field, isRanges: isRanges, family))
        guard isRanges else {
            var seen: Swift.Set<CIDR> = []
            set.elements = ranges.filter { seen.insert($0).inserted }.map {
                NFTKernelTable.Element(key: KernelValue.address($0.base, family))
            }
            return set
        }
        let merged = AddressRange.merged(ranges)
        let beginsAtFirst = merged.first?.first.isUnspecified ?? false
        set.size = UInt32(clamping: merged.count * 2 + (beginsAtFirst ? 0 : 1))
        set.elements = elements(of: merged, beginsAtFirst, family)
        return set
    }

    /// A set of ranges has an element where each begins and one after its end, and an end at the first address.
    private static func elements(
        of ranges: [AddressRange], _ beginsAtFirst: Bool, _ family: IPFamily
    ) -> [NFTKernelTable.Element] {
        var elements: [NFTKernelTable.Element] = []
        let end = NFT_SET_ELEM_INTERVAL_END.rawValue
        if !beginsAtFirst {
            elements.append(.init(key: [UInt8](repeating: 0, count: family.bitWidth / 8), flags: UInt32(end)))
        }
        for range in ranges {
            elements.append(.init(key: KernelValue.address(range.first, family)))
            if let after = range.afterLast {
                elements.append(.init(key: KernelValue.address(after, family), flags: UInt32(end)))
            }
        }
        return elements
    }

    /// The map from 0, 1, 2 and so on to verdicts.
    static func random(_ verdicts: [NFTVerdict], name: String) -> Self {
        random(
            verdicts.map { .verdict($0) }, name: name, datumType: NFT_DATA_VERDICT.rawValue, datumLength: 0)
    }

    /// The map from 0, 1, 2 and so on to endpoints.
    static func random(_ endpoints: [NFTEndpoint], _ family: IPFamily, name: String) -> Self {
        let type = [NFTType.address, .port]
        let data = endpoints.map { endpoint in
            var bytes: [UInt8] = []
            bytes.append([.address(endpoint.address), .port(endpoint.port)], family)
            return NFTKernelTable.Element.Datum.bytes(bytes)
        }
        return random(data, name: name, datumType: type.number(family), datumLength: UInt32(type.length(family)))
    }

    private static func random(
        _ data: [NFTKernelTable.Element.Datum], name: String, datumType: UInt32, datumLength: UInt32
    ) -> Self {
        Self(
            name: name, flags: NFT_SET_ANONYMOUS.rawValue | NFT_SET_CONSTANT.rawValue | NFT_SET_MAP.rawValue,
            keyType: NFTType.integer, keyLength: 4, datumType: datumType, datumLength: datumLength,
            size: UInt32(clamping: data.count),
            userData: NFTUserData.random(toVerdicts: datumType == NFT_DATA_VERDICT.rawValue),
            elements: data.enumerated().map { index, datum in
                .init(key: KernelValue.host(UInt32(clamping: index)), datum: datum)
            })
    }
}

/// Addresses from one to another.
struct AddressRange {
    let first: IPAddress
    /// The address after the last one; nil where there is none.
    private(set) var afterLast: IPAddress?

    private init(_ range: CIDR) {
        first = range.base
        afterLast = range.base.following(range)
    }

    /// The ranges in order, with those that overlap or touch each other as one.
    static func merged(_ ranges: [CIDR]) -> [AddressRange] {
        var merged: [AddressRange] = []
        for range in ranges.map(AddressRange.init).sorted(by: { $0.first.isBefore($1.first) }) {
            guard var last = merged.last, last.afterLast.map({ !$0.isBefore(range.first) }) ?? true else {
                merged.append(range)
                continue
            }
            if let end = last.afterLast {
                last.afterLast = range.afterLast.map { end.isBefore($0) ? $0 : end }
                merged[merged.count - 1] = last
            }
        }
        return merged
    }
}

extension IPAddress {
    fileprivate func isBefore(_ other: IPAddress) -> Bool { (high, low) < (other.high, other.low) }

    /// The address after the last one of a range that begins here; nil where the range goes on to the last address of
    /// its family.
    fileprivate func following(_ range: CIDR) -> IPAddress? {
        let hostBits = range.family.bitWidth - range.prefixLength
        if range.family == .ipv4 {
            let end = UInt64(ipv4Bits) + UInt64(1) << UInt64(hostBits)
            return UInt32(exactly: end).map(IPAddress.init(ipv4:))
        }
        if hostBits >= 64 {
            guard hostBits < 128 else { return nil }
            let (end, overflow) = high.addingReportingOverflow(1 << UInt64(hostBits - 64))
            return overflow ? nil : IPAddress(high: end, low: low)
        }
        let (end, carry) = low.addingReportingOverflow(1 << UInt64(hostBits))
        guard carry else { return IPAddress(high: high, low: end) }
        let (top, overflow) = high.addingReportingOverflow(1)
        return overflow ? nil : IPAddress(high: top, low: end)
    }
}
