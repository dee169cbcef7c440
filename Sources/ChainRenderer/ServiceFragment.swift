import ProxyCore

/// The rule text of one service port: what is kept of it between syncs.
///
/// One allocation holds four parts, so that ten thousand services are ten thousand buffers.
struct ServiceFragment: Sendable {
    private let bytes: [UInt8]
    private let topStart: Int
    private let chainStart: Int
    private let ownStart: Int

    init(
        filter: borrowing RuleWriter, top: borrowing RuleWriter, chains: borrowing RuleWriter, own: borrowing RuleWriter
    ) {
        var joined: [UInt8] = []
        joined.reserveCapacity(filter.count + top.count + chains.count + own.count)
        joined.append(contentsOf: filter.bytes)
        topStart = joined.count
        joined.append(contentsOf: top.bytes)
        chainStart = joined.count
        joined.append(contentsOf: chains.bytes)
        ownStart = joined.count
        joined.append(contentsOf: own.bytes)
        bytes = joined
    }

    /// Rules of the filter table, all in its top-level chains.
    var filter: ArraySlice<UInt8> { bytes[..<topStart] }
    /// Rules of the nat table's top-level chains.
    var top: ArraySlice<UInt8> { bytes[topStart..<chainStart] }
    /// Lines that declare the service port's own chains in the nat table.
    var chains: ArraySlice<UInt8> { bytes[chainStart..<ownStart] }
    /// Rules of these chains.
    var own: ArraySlice<UInt8> { bytes[ownStart...] }
    /// The number of the service port's own chains.
    var chainCount: Int { chains.count { $0 == UInt8(ascii: "\n") } }
    /// The names of the service port's own chains.
    var chainNames: [String] {
        chains.split(separator: UInt8(ascii: "\n")).map { line in
            String(decoding: line.dropFirst().prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
        }
    }

    /// True if the own chains and their rules are those of `other`.
    func hasSameChains(as other: ServiceFragment) -> Bool { chains == other.chains && own == other.own }
}
