import ProxyCore
import TestSupport
import Testing

@testable import NFTBackend

/// A node with services that are counted.
private struct Counted {
    var table: SharedMapsTable
    private var model = TableModel()
    private let now = ContinuousClock.now

    init(_ services: String..., counters: Bool = true) {
        table = SharedMapsTable(
            node: Self.node(), serviceRanges: [], options: .init(perServiceCounters: counters))
        for (number, name) in services.enumerated() { add(name, UInt8(number + 1)) }
    }

    static func node(nodePortAddresses: String = "192.168.0.0/24") -> NodePlan {
        var node = Node(name: "node1")
        node.internalIPs = ["192.168.0.2"].compactMap(IPAddress.init)
        var configuration = ProxyConfiguration()
        configuration.nodePortAddresses = .cidrs([nodePortAddresses].compactMap(CIDR.init))
        return NodePlan(
            configuration, mode: .nftables, family: .ipv4, nodeName: "node1", node: node, facts: HostFacts(of: node))
    }

    mutating func add(_ name: String, _ number: UInt8) {
        var service = Service(name: .valid("ns", name))
        service.clusterIPs = [IPAddress(ipv4: 0xac1e_0000 | UInt32(number))]
        service.ports = [.init(name: "", protocol: .tcp, number: 80, nodePort: 31000 + UInt16(number))]
        var slice = EndpointSlice(name: .valid("ns", name), service: service.name, family: .ipv4)
        slice.ports = [.init(name: "", protocol: .tcp, number: 8080)]
        slice.endpoints = [.init(address: IPAddress(ipv4: 0x0a00_0000 | UInt32(number)))]
        table.update(.init(changed: ServicePlanner.plans(for: service, slices: [slice], in: Self.node().context)))
    }

    /// Commits what there is to commit, and returns it.
    @discardableResult
    mutating func sync() throws -> [NFTChange] {
        guard let transaction = table.nextTransaction() else { return [] }
        try model.commit(transaction)
        table.didCommit(at: now)
        return transaction.changes
    }

    /// The kernel refuses what comes next.
    mutating func refuse() {
        _ = table.nextTransaction()
        table.didFail()
    }

    /// The table as it is read, with what counters have counted.
    func found(_ counts: [String: UInt64]) -> NFTKernelTable {
        var found = table.kernelTable(withElements: false)
        found.counters = counts.sorted { $0.key < $1.key }.map {
            NFTCounter(name: "service-ns/\($0.key)/tcp/", packets: $0.value, bytes: $0.value * 60)
        }
        return found
    }

    var counters: Set<String> { model.counters }
    var sets: Set<NFTSet> { Set(model.sets.values) }
    var hasWantedElements: Bool {
        Set(model.elements.values.flatMap(\.values)) == Set(table.ruleset().elements)
    }
}

extension [NFTChange] {
    fileprivate var addedCounters: [NFTCounter] {
        compactMap { if case .addCounter(let counter) = $0 { counter } else { nil } }
    }

    fileprivate var deletedCounters: [String] {
        compactMap { if case .deleteCounter(let name) = $0 { name } else { nil } }
    }

    fileprivate var deletesTable: Bool { contains(.deleteTable(name: "switchyard")) }
}

@Suite("Counters of services")
struct CounterTests {
    @Test("stay where they are when everything is written anew, and only those that are new begin")
    func replaced() throws {
        var counted = Counted("a", "b")
        #expect(try counted.sync().addedCounters.map(\.name) == ["service-ns/a/tcp/", "service-ns/b/tcp/"])
        let found = counted.found(["a": 5, "b": 0])
        counted.add("c", 3)
        counted.refuse()
        counted.table.takeOver(found)
        let changes = try counted.sync()
        #expect(!changes.deletesTable)
        #expect(changes.addedCounters == [NFTCounter(name: "service-ns/c/tcp/")])
        #expect(changes.deletedCounters == [])
        #expect(counted.hasWantedElements)
    }

    @Test("of services that are gone go with what is replaced")
    func stale() throws {
        var counted = Counted("a", "b")
        try counted.sync()
        let found = counted.found(["a": 5, "b": 7])
        counted.table.update(.init(removed: counted.table.entries.keys.filter { $0.service.name == "a" }))
        counted.refuse()
        counted.table.takeOver(found)
        let changes = try counted.sync()
        #expect(changes.deletedCounters == ["service-ns/a/tcp/"])
        #expect(changes.addedCounters == [])
        #expect(counted.counters == ["service-ns/b/tcp/"])
    }

    @Test("go on from what was read where the kernel refuses to have the table replaced piece by piece")
    func deleted() throws {
        var counted = Counted("a")
        try counted.sync()
        let found = counted.found(["a": 5])
        counted.table.didFail()
        counted.table.takeOver(found)
        counted.refuse()
        counted.table.takeOver(found)
        let changes = try counted.sync()
        #expect(changes.deletesTable)
        #expect(changes.addedCounters == [NFTCounter(name: "service-ns/a/tcp/", packets: 5, bytes: 300)])
        // What was refused once is tried again later.
        counted.table.didFail()
        counted.table.takeOver(found)
        #expect(!(try counted.sync().deletesTable))
    }

    @Test("stay with the table of an earlier run")
    func takenOver() throws {
        var before = Counted("a")
        try before.sync()
        var after = before
        after.table = Counted("a").table
        after.table.takeOver(before.found(["a": 5]))
        let changes = try after.sync()
        #expect(!changes.deletesTable && changes.addedCounters == [] && changes.deletedCounters == [])
    }

    @Test("that nobody asks for any more go when a table is taken over")
    func switchedOff() throws {
        var before = Counted("a")
        try before.sync()
        var after = before
        after.table = Counted("a", counters: false).table
        after.table.takeOver(before.found(["a": 5]))
        #expect(try after.sync().deletesTable)
        #expect(after.counters == [])
        #expect(after.hasWantedElements)
    }

    @Test("stay when a set comes or goes with the addresses for node ports")
    func settings() throws {
        var counted = Counted("a")
        try counted.sync()
        for addresses in ["0.0.0.0/0", "192.168.0.0/24", "0.0.0.0/0"] {
            counted.table.update(Counted.node(nodePortAddresses: addresses), serviceRanges: [])
            let changes = try counted.sync()
            #expect(!changes.deletesTable && changes.addedCounters == [] && changes.deletedCounters == [])
            #expect(counted.sets == Set(counted.table.ruleset().table.sets))
            #expect(counted.sets.contains { $0.name == "nodeport-ips" } == (addresses != "0.0.0.0/0"))
            #expect(counted.hasWantedElements)
        }
    }

    @Test("are told by service port")
    func counts() {
        let counted = Counted("a", "b", "c")
        let counts = counted.table.counts(in: counted.found(["c": 3, "a": 5, "other": 9]))
        #expect(counts.map { "\($0.service)" } == ["ns/a", "ns/c"])
        #expect(counts.map(\.counter.packets) == [5, 3])
        #expect(counts.map(\.counter.bytes) == [300, 180])
    }
}
