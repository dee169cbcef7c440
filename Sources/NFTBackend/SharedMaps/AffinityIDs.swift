import ProxyCore

/// A number that stands for a service or for one of its endpoints in the packet's address fields.
///
/// Written as an address of 0.0.0.0/8 or ::/104. Services and endpoints have a half of the number space each, as the
/// number of a service must never be read as that of an endpoint: the map of clients can be full.
struct AffinityID: Hashable {
    let number: UInt32

    /// Endpoints have the numbers from 1 on, services those from here on, up to 2^24.
    static let firstService: UInt32 = 0x80_0000

    func address(_ family: IPFamily) -> IPAddress {
        family == .ipv4 ? IPAddress(ipv4: number) : IPAddress(high: 0, low: UInt64(number))
    }

    /// Nil for an address that is no such number.
    init?(_ address: IPAddress) {
        let bits = address.family == .ipv4 ? UInt64(address.ipv4Bits) : address.low
        guard address.family == .ipv4 || address.high == 0, bits > 0, bits < 1 << 24 else { return nil }
        number = UInt32(bits)
    }

    init(number: UInt32) {
        self.number = number
    }
}

/// The ids of a service port with affinity.
struct AffinityIDs: Hashable {
    let service: AffinityID
    /// Those of the plan's endpoints, in their order.
    let endpoints: [AffinityID]
}

/// Gives out numbers of one half of the space. One that was given back is given out again only when no client can
/// remember it any more.
struct AffinityIDPool {
    private struct Returned {
        let id: AffinityID
        let time: ContinuousClock.Instant
    }

    private let range: ClosedRange<UInt32>
    private var next: UInt32
    /// In the order of their times; those before `firstReturned` were given out again.
    private var returned: [Returned] = []
    private var firstReturned = 0
    /// Given back, but still in the kernel: as no transaction takes them out yet, and as one does that is under way.
    private var unwanted: [AffinityID] = []
    private var leaving: [AffinityID] = []

    init(_ range: ClosedRange<UInt32>) {
        self.range = range
        next = range.lowerBound
    }

    /// A number that no client remembers; nil if there is none.
    ///
    /// - Parameter now: nil, or a time that has certainly passed.
    mutating func take(at now: ContinuousClock.Instant?) -> AffinityID? {
        if let now, firstReturned < returned.count,
            returned[firstReturned].time.duration(to: now) > .seconds(AffinityTimeout.longest)
        {
            let id = returned[firstReturned].id
            firstReturned += 1
            if firstReturned > 1024, firstReturned > returned.count / 2 {
                returned.removeFirst(firstReturned)
                firstReturned = 0
            }
            return id
        }
        guard next <= range.upperBound else { return nil }
        next += 1
        return AffinityID(number: next - 1)
    }

    mutating func giveBack(_ id: AffinityID) { unwanted.append(id) }

    /// A transaction was made that takes out what was given back.
    mutating func willCommit() {
        leaving += unwanted
        unwanted.removeAll()
    }

    /// It was committed: from now on clients forget.
    mutating func didCommit(at now: ContinuousClock.Instant) {
        returned += leaving.map { Returned(id: $0, time: now) }
        leaving.removeAll()
    }

    /// Takes note of a number that the kernel has.
    mutating func didFind(_ id: AffinityID) {
        if range.contains(id.number) { next = max(next, id.number + 1) }
    }
}
