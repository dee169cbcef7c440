import ProxyCore
import TestSupport
import Testing

@testable import NFTBackend

/// A table of 300 service ports, and what the kernel could list of it.
private struct ListedTable {
    let wanted: SharedMapsTable
    let transaction: NFTTransaction

    init(_ family: IPFamily) {
        let node = NodePlan(
            ProxyConfiguration(), mode: .nftables, family: family, nodeName: "node1", node: nil,
            facts: HostFacts(of: nil))
        var state = ClusterState()
        for change in LargeCluster(services: 300, endpointsEach: 4).changes { state.apply(change) }
        var plans = PlanTable()
        var table = SharedMapsTable(node: node, serviceRanges: [])
        table.update(plans.updateAll(from: state, in: node.context))
        transaction = table.fullTransaction()
        wanted = table
    }

    var elementCount: Int { transaction.changes.count { if case .addElement = $0 { true } else { false } } }

    /// The messages of a table to which the transaction was done after somebody has altered it: they have the form of
    /// those in which the kernel lists a table.
    func messages(_ alter: (inout [NFTChange]) -> Void) -> [(type: UInt8, payload: [UInt8])] {
        var changes = transaction.changes
        changes.removeAll {
            switch $0 {
            case .deleteTable, .addOtherTable: true
            default: false
            }
        }
        alter(&changes)
        let batch = NFTablesBatch(.init(transaction.table, changes))
        return zip(batch.offsets, batch.offsets.dropFirst() + [batch.bytes.count]).map { start, end in
            // nlmsghdr: length, type, flags, sequence, port.
            (batch.bytes[start + 4], Array(batch.bytes[(start + 16)..<end]))
        }
    }

    func decoded(
        _ messages: [(type: UInt8, payload: [UInt8])], _ elements: NFTDumpDecoder.Elements
    ) -> NFTDumpDecoder {
        var decoder = NFTDumpDecoder(wanted.settings.identity.family, table: "switchyard", elements: elements)
        for message in messages { decoder.take(type: message.type, message.payload) }
        return decoder
    }

    /// What differs, as a check finds it that keeps next to nothing.
    func differences(_ messages: [(type: UInt8, payload: [UInt8])], limit: Int) -> [NFTDifference] {
        let found = decoded(messages, .digested)
        let keptCount = found.table.sets.reduce(0) { $0 + $1.elements.count }
        #expect(keptCount == 0)
        let selection = wanted.differingElements(from: found, limit: limit)
        guard !selection.isEmpty else { return wanted.differences(from: found.table, withElements: false) }
        return wanted.differences(from: decoded(messages, .selected(selection)).table, in: selection)
    }
}

@Suite("Comparing elements without keeping them")
struct ElementDigestTests {
    /// What somebody does to a table, at a place between 0 and 1.
    private static let damages: [(name: String, act: @Sendable (inout [NFTChange], Double) -> Void)] = [
        ("nothing", { _, _ in }),
        ("an element taken out", { changes, place in changes.remove(at: element(in: changes, place)) }),
        (
            "an element's datum changed",
            { changes, place in
                let index = element(in: changes, place) { if case .none = $0.datum { false } else { true } }
                guard case .addElement(var element) = changes[index] else { return }
                switch element.datum {
                case .verdict: element.datum = .verdict(.drop)
                case .values(let values): element.datum = .values([.address(.loopback(.ipv4)), values[1]])
                case .none, .counter: return
                }
                changes[index] = .addElement(element)
            }
        ),
        (
            "an element put in",
            { changes, place in
                guard case .addElement(var element) = changes[element(in: changes, place) { $0.key.count == 3 }]
                else { return }
                element.key[1] = element.key[1] == .port(1) ? .port(2) : .port(1)
                if element.set == "service-ips" { element.key[1] = .protocol(.sctp) }
                changes.append(.addElement(element))
            }
        ),
        (
            "two data exchanged",
            { changes, place in
                let first = element(in: changes, place * 0.9) { $0.set == "endpoints-tcp" }
                let second = element(in: changes, 0.95) { $0.set == "endpoints-tcp" }
                guard case .addElement(var one) = changes[first], case .addElement(var other) = changes[second]
                else { return }
                swap(&one.datum, &other.datum)
                changes[first] = .addElement(one)
                changes[second] = .addElement(other)
            }
        ),
        (
            "a rule and an element taken out",
            { changes, place in
                changes.remove(at: element(in: changes, place))
                guard let rule = changes.firstIndex(where: { if case .addRule = $0 { true } else { false } }) else {
                    return
                }
                changes.remove(at: rule)
            }
        ),
    ]

    private static func element(
        in changes: [NFTChange], _ place: Double, where isMeant: (NFTElement) -> Bool = { _ in true }
    ) -> Int {
        let all = changes.indices.filter {
            if case .addElement(let element) = changes[$0] { isMeant(element) } else { false }
        }
        return all[min(Int(Double(all.count) * place), all.count - 1)]
    }

    @Test("what somebody has changed is found exactly, as by a comparison of all", arguments: damages.map(\.name))
    func exact(_ name: String) throws {
        let table = ListedTable(.ipv4)
        let damage = try #require(Self.damages.first { $0.name == name })
        for place in [0, 0.31, 0.5, 0.77, 1] {
            let messages = table.messages { damage.act(&$0, place) }
            let expected = table.wanted.differences(from: table.decoded(messages, .kept).table)
            #expect(expected.isEmpty == (name == "nothing"))
            #expect(Set(table.differences(messages, limit: 2000)) == Set(expected))
        }
    }

    @Test("where everything is gone only some of it is told one by one, and that there is more")
    func bounded() {
        let table = ListedTable(.ipv4)
        let messages = table.messages { $0.removeAll { if case .addElement = $0 { true } else { false } } }
        let differences = table.differences(messages, limit: 50)
        #expect(differences.count > 50)
        #expect(differences.count < table.elementCount / 4)
        #expect(differences.contains { $0.description == "changed: set endpoints-tcp: more of its elements differ" })
        #expect(differences.contains { $0.kind == .missing })
    }
}
