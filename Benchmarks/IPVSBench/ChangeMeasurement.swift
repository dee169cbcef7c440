import BenchSupport
import ProxyCore
import TestSupport

/// Changes of a cluster that the kernel has, beside bare round trips of netlink.
struct ChangeMeasurement {
    static let header = """
        one sync after the other, from changed objects to the end of the commit, 10 endpoints a service; in µs, p50 / p99,
        x = times the p50 of a bare netlink round trip of the same run; "after it" is the sync that takes away what has no
        connections any more, a second later in the daemon
          services  change               count        together       x  plan and batch            look          kernel     after it       x
        """

    let services: Int
    /// How many changes of each kind.
    let count: Int

    enum Kind: String, CaseIterable {
        case endpointReplaced = "endpoint replaced"
        case serviceAdded = "service added"
        case serviceRemoved = "service removed"
    }

    func run() async throws {
        var cluster = try await ServedCluster(services: services)
        try await cluster.commitAll()
        var trip = try RoundTrip()
        var trips = Figures()
        for kinds in [[Kind.endpointReplaced], [.serviceAdded, .serviceRemoved]] {
            var figures: [Kind: Steps] = [:]
            for number in 0..<(count + Self.warmingUp) {
                for kind in kinds {
                    let measured = Steps.One(
                        sync: try await cluster.sync(changes(kind, number, cluster.objects)),
                        after: kind == .serviceAdded ? nil : try await cluster.sync([]))
                    let trip = [try trip.run(), try trip.run(), try trip.run()]
                    guard number >= Self.warmingUp else { continue }
                    figures[kind, default: Steps()].add(measured)
                    for time in trip { trips.add(time) }
                }
            }
            for kind in kinds { if let steps = figures[kind] { say(steps.row(services, kind, trips.median)) } }
        }
        try await cluster.check()
        say("  a bare round trip: \(Steps.pair(trips, width: 0)), \(trips.count) of them")
    }

    /// Changes that do not count.
    private static let warmingUp = 10

    private struct Steps {
        var together = Figures()
        var ours = Figures()
        var look = Figures()
        var kernel = Figures()
        var after = Figures()

        struct One {
            var sync: ServedCluster.Times
            var after: ServedCluster.Times?
        }

        mutating func add(_ one: One) {
            together.add(one.sync.together)
            ours.add(one.sync.ours)
            look.add(one.sync.look)
            kernel.add(one.sync.kernel)
            if let after = one.after { self.after.add(after.together) }
        }

        static func pair(_ figures: Figures, width: Int) -> String {
            let words = [50, 99].map { column(figures.percentile($0) * 1000, 0, width: 0) }
            return column(words.joined(separator: " / "), width: width)
        }

        func row(_ services: Int, _ kind: Kind, _ trip: Double) -> String {
            let name = kind.rawValue
            return [
                column(Double(services), 0), "  ", name, column("", width: 18 - name.count),
                column(Double(together.count), 0, width: 8), Self.pair(together, width: 16),
                column(together.median / trip, 1, width: 8), Self.pair(ours, width: 16), Self.pair(look, width: 16),
                Self.pair(kernel, width: 16), after.count == 0 ? "" : Self.pair(after, width: 16),
                after.count == 0 ? "" : column(after.median / trip, 1, width: 8),
            ].joined()
        }
    }

    /// The objects of the `number`th change of a kind.
    ///
    /// The next kind removes what was added, and the next time an endpoint is as it was.
    private func changes(_ kind: Kind, _ number: Int, _ objects: LargeCluster) -> [ObjectChange] {
        let newcomer = objects.services
        switch kind {
        case .endpointReplaced:
            return [.endpointSlice(objects.slice(number / 2 * 41 % objects.services, generation: (number + 1) % 2))]
        case .serviceAdded:
            return [.service(objects.service(newcomer)), .endpointSlice(objects.slice(newcomer))]
        case .serviceRemoved:
            return [.serviceDeleted(objects.name(newcomer)), .endpointSliceDeleted(objects.slice(newcomer).name)]
        }
    }
}
