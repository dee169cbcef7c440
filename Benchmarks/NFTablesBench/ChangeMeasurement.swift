import BatchApplier
import BenchSupport
import NFTBackend
import ProxyCore
import TestSupport

/// Changes of a cluster that the kernel has, from objects to acknowledgement, at one size after the other.
struct ChangeMeasurement {
    static let header = """
        one change after the other, from changed objects to acknowledgement, 10 endpoints a service; in ms, p50 / p99,
        x = times the first size's p50
          services  change                          at once   count         together      plan to messages          kernel      bytes       x
        """

    let sizes: [Int]
    /// How many changes of each kind.
    let count: Int

    enum Kind: String, CaseIterable {
        case endpointReplaced = "endpoint replaced"
        case serviceAdded = "service added"
        case serviceRemoved = "service removed"
        case endpointCountChanged = "number of endpoints changed"
    }

    func run() async throws {
        // Of the first size, by the words of the row.
        var references: [String: Double] = [:]
        for services in sizes {
            try Replay.emptyKernel()
            var cluster = ServedCluster(services: services)
            try await cluster.commitAll()
            for size in [1, 100] {
                // What a hundred together cost is clear after fewer.
                let batches = size == 1 ? count : max(count / 4, 2)
                var figures: [Kind: Steps] = [:]
                for number in 0..<batches {
                    for kind in Kind.allCases {
                        let changes = self.changes(kind, number, size, cluster.objects)
                        let times = try await cluster.commit(changes)
                        figures[kind, default: Steps()].add(times)
                    }
                }
                for kind in Kind.allCases {
                    guard let steps = figures[kind] else { continue }
                    let key = "\(kind) \(size)"
                    let p50 = steps.together.median
                    say(steps.row(services, kind, size) + column(p50 / references[key, default: p50], 2, width: 8))
                    if references[key] == nil { references[key] = p50 }
                }
            }
        }
    }

    private struct Steps {
        var together = Figures()
        var ours = Figures()
        var kernel = Figures()
        var bytes = Figures()

        mutating func add(_ times: ServedCluster.Times) {
            together.add(times.ours + times.kernel)
            ours.add(times.ours)
            kernel.add(times.kernel)
            bytes.add(Double(times.bytes))
        }

        func row(_ services: Int, _ kind: Kind, _ size: Int) -> String {
            func pair(_ figures: Figures, width: Int) -> String {
                let words = [50, 99].map { column(figures.percentile($0), 2, width: 0) }
                return column(words.joined(separator: " / "), width: width)
            }
            let name = kind.rawValue
            return [
                column(Double(services), 0), "  ", name, column("", width: 28 - name.count),
                column(Double(size), 0, width: 11), column(Double(together.count), 0, width: 8),
                pair(together, width: 17), pair(ours, width: 22), pair(kernel, width: 16),
                column(bytes.median, 0, width: 11),
            ].joined()
        }
    }

    /// The objects of `size` changes of a kind, the `number`th time.
    ///
    /// The next kind removes what was added, and the next time an endpoint that is gone is back.
    private func changes(_ kind: Kind, _ number: Int, _ size: Int, _ objects: LargeCluster) -> [ObjectChange] {
        (0..<size).flatMap { place -> [ObjectChange] in
            // Of every two services the first has endpoints replaced and the second their number changed.
            let pairs = objects.services / 2
            let newcomer = objects.services + place
            switch kind {
            case .endpointReplaced:
                let index = (number * size + place) * 41 % pairs * 2
                return [.endpointSlice(objects.slice(index, generation: size * 1000 + number))]
            case .serviceAdded:
                return [.service(objects.service(newcomer)), .endpointSlice(objects.slice(newcomer))]
            case .serviceRemoved:
                return [
                    .serviceDeleted(objects.name(newcomer)), .endpointSliceDeleted(objects.slice(newcomer).name),
                ]
            case .endpointCountChanged:
                var slice = objects.slice((number / 2 * size + place) * 41 % pairs * 2 + 1)
                if number.isMultiple(of: 2) { slice.endpoints.removeLast() }
                return [.endpointSlice(slice)]
            }
        }
    }
}
