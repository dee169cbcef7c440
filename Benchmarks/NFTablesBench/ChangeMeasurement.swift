import BatchApplier
import BenchSupport
import NFTBackend
import ProxyCore
import TestSupport

/// Changes of a cluster that the kernel has, from objects to acknowledgement, at one size after the other.
struct ChangeMeasurement {
    static let header = """
        one commit after the other, from changed objects to acknowledgement, 10 endpoints a service; in ms, p50 / p99,
        "processor" is what of it was processor time (p50), x = times the same at the first size
          services  change                          at once   count         together      plan to messages          kernel      bytes       x  processor       x
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
        // Of the first size, by kind and size of batch.
        var references: [String: Steps] = [:]
        for services in sizes {
            try Replay.emptyKernel()
            var cluster = ServedCluster(services: services)
            try await cluster.commitAll()
            for size in [1, 100] {
                // What a hundred together cost is clear after fewer.
                let batches = size == 1 ? count : max(count / 4, 2)
                // Kinds by themselves: others would leave other things in the processor's caches.
                for kinds in [[Kind.endpointReplaced], [.serviceAdded, .serviceRemoved], [.endpointCountChanged]] {
                    var figures: [Kind: Steps] = [:]
                    for number in 0..<batches {
                        for kind in kinds {
                            let changes = self.changes(kind, number, size, cluster.objects)
                            figures[kind, default: Steps()].add(try await cluster.commit(changes))
                        }
                    }
                    for kind in kinds {
                        guard let steps = figures[kind] else { continue }
                        let key = "\(kind) \(size)"
                        say(steps.row(services, kind, size, references[key, default: steps]))
                        if references[key] == nil { references[key] = steps }
                    }
                }
            }
        }
    }

    private struct Steps {
        var together = Figures()
        var ours = Figures()
        var kernel = Figures()
        var processor = Figures()
        var bytes = Figures()

        mutating func add(_ times: ServedCluster.Times) {
            together.add(times.ours + times.kernel)
            ours.add(times.ours)
            kernel.add(times.kernel)
            processor.add(times.processor)
            bytes.add(Double(times.bytes))
        }

        func row(_ services: Int, _ kind: Kind, _ size: Int, _ reference: Steps) -> String {
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
                column(together.median / reference.together.median, 2, width: 8),
                column(processor.median, 2, width: 11),
                column(processor.median / reference.processor.median, 2, width: 8),
            ].joined()
        }
    }

    /// The objects of `size` changes of a kind, the `number`th time.
    ///
    /// The next kind removes what was added, and the next time the first or last endpoint is as it was: the first one's
    /// successor is the last of the list, so that all indices lead elsewhere.
    private func changes(_ kind: Kind, _ number: Int, _ size: Int, _ objects: LargeCluster) -> [ObjectChange] {
        (0..<size).flatMap { place -> [ObjectChange] in
            let index = (number / 2 * size + place) * 41 % objects.services
            let newcomer = objects.services + place
            switch kind {
            case .endpointReplaced:
                return [.endpointSlice(objects.slice(index, generation: (number + 1) % 2))]
            case .serviceAdded:
                return [.service(objects.service(newcomer)), .endpointSlice(objects.slice(newcomer))]
            case .serviceRemoved:
                return [
                    .serviceDeleted(objects.name(newcomer)), .endpointSliceDeleted(objects.slice(newcomer).name),
                ]
            case .endpointCountChanged:
                var slice = objects.slice(index)
                if number.isMultiple(of: 2) { slice.endpoints.removeLast() }
                return [.endpointSlice(slice)]
            }
        }
    }
}
