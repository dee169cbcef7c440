import CMnl
public import ProxyCore
import SystemPackage

/// The device that holds the addresses of virtual servers, so that the kernel takes their packets in: a dummy that is
/// down, as kube-proxy has it, in the process's network namespace.
///
/// Calls wait on a thread of their own.
public actor ServiceDevice {
    /// The name that kube-proxy gives it.
    public static let kubeProxyName = "kube-ipvs0"

    public nonisolated let name: String
    private let executor: BlockingExecutor
    private let options: NetlinkSocket.Options
    private var socket: NetlinkSocket?

    nonisolated public var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameter timeout: how long an answer of the kernel is waited for.
    public init(name: String = ServiceDevice.kubeProxyName, timeout: Duration = .seconds(60)) {
        self.init(name: name, timeout: timeout, executor: BlockingExecutor(label: "switchyard.service-device"))
    }

    /// - Parameter executor: of an actor that makes the calls, so that they change no thread.
    init(
        name: String = ServiceDevice.kubeProxyName, timeout: Duration = .seconds(60), executor: BlockingExecutor
    ) {
        self.name = name
        self.executor = executor
        // Room for the answers to a datagram whose requests all fail.
        options = .init(receiveBuffer: Self.requestsAtOnce * 1024, sendBuffer: 1 << 20, timeout: timeout)
    }

    /// What goes into one datagram.
    private static let requestsAtOnce = 2000

    /// Makes the device where it is not there. Returns true if it was made. A device of the name that is no dummy is an
    /// error of kind `refused`.
    @discardableResult
    public func ensure() throws(IPVSError) -> Bool { try ensured().isMade }

    /// Makes the device where it is not there, gives it addresses as `add` does, and returns those that failed.
    public func ensure(with addresses: [IPAddress]) throws(IPVSError) -> [IPVSFailure] {
        try add(addresses, to: try ensured().index)
    }

    private func ensured() throws(IPVSError) -> (index: UInt32, isMade: Bool) {
        let found = try withSocket { socket throws(NetlinkError) in try Self.find(name, &socket) }
        if let found { return (try index(of: found), false) }
        let isMade = try withSocket { socket throws(NetlinkError) in
            let request = DeviceMessages.create(name)
            let failures = try socket.perform(request, operation: "make the device \(name)")
            for failure in failures where failure.errno != .fileExists { throw failure }
            return failures.isEmpty
        }
        return (try index(), isMade)
    }

    /// True if it is there and is a dummy.
    public func exists() throws(IPVSError) -> Bool {
        try withSocket { socket throws(NetlinkError) in try Self.find(name, &socket) }?.kind == DeviceMessages.kind
    }

    /// Its addresses of a family; none where it is not there. Networks, and an IPv6 address that the kernel gave it,
    /// are passed over.
    public func list(_ family: IPFamily) throws(IPVSError) -> Set<IPAddress> {
        try withSocket { socket throws(NetlinkError) in
            guard let device = try Self.find(name, &socket) else { return [] }
            return try list(family, of: device.index, &socket) { _ in true }
        }
    }

    private func list(
        _ family: IPFamily, of device: UInt32, _ socket: inout NetlinkSocket, where isMeant: (NetlinkMessage) -> Bool
    ) throws(NetlinkError) -> Set<IPAddress> {
        let operation = "list the addresses of \(name)"
        for _ in 0..<Self.listAttempts {
            var addresses: Set<IPAddress> = []
            do throws(NetlinkError) {
                try socket.dump(DeviceMessages.listAddresses(family), operation: operation) { message in
                    guard let address = DeviceMessages.address(message, of: device), isMeant(message) else { return }
                    addresses.insert(address)
                }
                return addresses
            } catch  where error.isInterruptedDump {
                // An address of some device came or went meanwhile.
                continue
            }
        }
        throw NetlinkError(operation: operation, errno: .interrupted)
    }

    private static let listAttempts = 20

    /// Gives it addresses, each alone (/32, /128), and returns those that failed. One that it has is no failure.
    public func add(_ addresses: [IPAddress]) throws(IPVSError) -> [IPVSFailure] {
        addresses.isEmpty ? [] : try add(addresses, to: try index())
    }

    private func add(_ addresses: [IPAddress], to device: UInt32) throws(IPVSError) -> [IPVSFailure] {
        try change(addresses, of: device, "add", "to", except: .fileExists) {
            DeviceMessages.append(additionOf: $0, to: $1, &$2)
        }
    }

    /// Has the node send from no address of IPv6 that another program has added (a kube-proxy), as it sends from none
    /// that `add` has, but to that address. Returns those that it could not change.
    public func deprecateAddresses() throws(IPVSError) -> [IPVSFailure] {
        let device = try index()
        let preferred = try withSocket { socket throws(NetlinkError) in
            try list(.ipv6, of: device, &socket, where: DeviceMessages.isPreferred)
        }
        return try change(Array(preferred), of: device, "change", "of", except: .addressNotAvailable) {
            DeviceMessages.append(additionOf: $0, to: $1, isThere: true, &$2)
        }
    }

    /// Takes addresses away with what is lent to them, and returns those that failed. One that it does not have is no
    /// failure.
    public func delete(_ addresses: [IPAddress]) throws(IPVSError) -> [IPVSFailure] {
        guard !addresses.isEmpty else { return [] }
        let device = try index()
        let failures = try change(
            addresses, of: device, "delete", "from", except: .addressNotAvailable,
            DeviceMessages.append(deletionOf:from:_:))
        try deleteRoutes(to: addresses, of: device)
        return failures
    }

    /// Lets new connections of the node itself to addresses of the device begin from an address that the node has
    /// without it. Else they begin from the very address that they go to, and end when that is deleted.
    ///
    /// `delete` and `takeBack` undo it.
    ///
    /// - Parameter source: one of the node's own.
    public func lend(_ source: IPAddress, to addresses: [IPAddress]) throws(IPVSError) {
        guard !addresses.isEmpty else { return }
        try changeRoutes(addresses, of: try index()) {
            DeviceMessages.append(routeTo: $0, of: $1, over: $2, from: source, &$3)
        }
    }

    /// From which address the node sends to another; nil where it has no route there.
    func source(towards address: IPAddress) -> IPAddress? {
        let answer = try? withSocket { socket throws(NetlinkError) in
            try socket.ask(DeviceMessages.findRoute(to: address), operation: "find the route to \(address)")
        }
        return answer.flatMap(DeviceMessages.source)
    }

    /// The addresses to which something is lent. One that the device does not have was left by a program that was ended.
    public func lentAddresses(_ family: IPFamily) throws(IPVSError) -> Set<IPAddress> {
        try withSocket { socket throws(NetlinkError) in
            let device = try Self.find(name, &socket)?.index
            var addresses: Set<IPAddress> = []
            try socket.dump(DeviceMessages.listRoutes(family), operation: "list the routes") { message in
                if let address = DeviceMessages.lentAddress(message, of: device) { addresses.insert(address) }
            }
            return addresses
        }
    }

    /// Lets new connections of the node itself to addresses of the device begin from the address that they go to.
    public func takeBack(_ family: IPFamily) throws(IPVSError) {
        let lent = try lentAddresses(family)
        guard !lent.isEmpty else { return }
        let own = try list(family)
        try changeRoutes(Array(lent.intersection(own)), of: try index()) {
            DeviceMessages.append(routeTo: $0, of: $1, over: $2, from: $0, &$3)
        }
        try deleteRoutes(to: Array(lent.subtracting(own)))
    }

    /// Deletes what is lent to addresses that the device does not have any more; of others nothing is there.
    ///
    /// - Parameter device: by which the kernel knows it, where it is there. Routes of IPv6 outlive it.
    func deleteRoutes(to addresses: [IPAddress], of device: UInt32? = nil) throws(IPVSError) {
        try changeRoutes(addresses, of: device ?? 0) {
            DeviceMessages.append(deletionOfRouteTo: $0, of: $1, over: $2, &$3)
        }
    }

    private func changeRoutes(
        _ addresses: [IPAddress], of device: UInt32, _ append: (IPAddress, UInt32, UInt32, inout NetlinkBatch) -> Void
    ) throws(IPVSError) {
        guard !addresses.isEmpty else { return }
        try withSocket { socket throws(NetlinkError) in
            let loopback = try Self.find("lo", &socket)?.index ?? 1
            for start in stride(from: 0, to: addresses.count, by: Self.requestsAtOnce) {
                var batch = NetlinkBatch()
                for address in addresses[start..<min(start + Self.requestsAtOnce, addresses.count)] {
                    append(address, device, loopback, &batch)
                }
                _ = try socket.perform(batch, operation: "change routes of \(name)")
            }
        }
    }

    /// Deletes the device with its addresses. Nothing happens where it is not there.
    public func remove() throws(IPVSError) {
        try withSocket { socket throws(NetlinkError) in
            guard let device = try Self.find(name, &socket), device.kind == DeviceMessages.kind else { return }
            let failures = try socket.perform(DeviceMessages.delete(name), operation: "delete the device \(name)")
            for failure in failures where failure.errno != .operationNotSupportedByDevice { throw failure }
        }
    }

    /// The addresses of the other devices, with the name of the one that has each: a service that wants one of them
    /// would have the node's own traffic.
    public nonisolated func addressesElsewhere() -> [IPAddress: String] {
        let others = NodeFacts.interfaceAddresses().filter { $0.interface != name }
        return Dictionary(others.map { ($0.address, $0.interface) }, uniquingKeysWith: { first, _ in first })
    }

    private func change(
        _ addresses: [IPAddress], of device: UInt32, _ verb: String, _ preposition: String, except harmless: Errno,
        _ append: (IPAddress, UInt32, inout NetlinkBatch) -> Void
    ) throws(IPVSError) -> [IPVSFailure] {
        try withSocket { socket throws(NetlinkError) in
            var failures: [IPVSFailure] = []
            for start in stride(from: 0, to: addresses.count, by: Self.requestsAtOnce) {
                var batch = NetlinkBatch()
                for address in addresses[start..<min(start + Self.requestsAtOnce, addresses.count)] {
                    append(address, device, &batch)
                }
                let refused = try socket.perform(batch, operation: "\(verb) addresses \(preposition) \(name)")
                for failure in refused where failure.errno != harmless {
                    let index = start + (failure.index ?? 0)
                    let operation = "\(verb) \(addresses[index]) \(preposition) \(name)"
                    failures.append(IPVSFailure(index: index, error: IPVSError(failure, .address, operation)))
                }
            }
            return failures
        }
    }

    /// By which the kernel knows it, if it is there and is a dummy.
    private func index() throws(IPVSError) -> UInt32 {
        let found = try withSocket { socket throws(NetlinkError) in try Self.find(name, &socket) }
        guard let found else {
            throw IPVSError(.refused, "the device \(name) is not there", .operationNotSupportedByDevice)
        }
        return try index(of: found)
    }

    private func index(of found: DeviceMessages.Found) throws(IPVSError) -> UInt32 {
        guard found.kind == DeviceMessages.kind else {
            throw IPVSError(.refused, "the device \(name) is there and is no dummy", .fileExists)
        }
        return found.index
    }

    private static func find(
        _ name: String, _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> DeviceMessages.Found? {
        do throws(NetlinkError) {
            return DeviceMessages.Found(
                try socket.ask(DeviceMessages.find(name), operation: "find the device \(name)"))
        } catch  where error.errno == .operationNotSupportedByDevice {
            return nil
        }
    }

    private func withSocket<Value>(
        _ body: (inout NetlinkSocket) throws(NetlinkError) -> Value
    ) throws(IPVSError) -> Value {
        do throws(NetlinkError) {
            return try NetlinkSocket.use(&socket, NETLINK_ROUTE, options, body)
        } catch {
            throw IPVSError(error, .device)
        }
    }
}
