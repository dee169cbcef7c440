import BatchApplier
import ProxyCore

/// What can be asked of the peer.
///
///     server-add|server-change PROTOCOL ADDRESS PORT SCHEDULER [SECONDS]
///     server-delete PROTOCOL ADDRESS PORT
///     real-add|real-change PROTOCOL ADDRESS PORT ADDRESS PORT WEIGHT
///     real-delete PROTOCOL ADDRESS PORT ADDRESS PORT
///     commit                               makes the changes named so far, together
///     server-fill COUNT                    as many, with a real server each
///     servers FAMILY
///     timeouts TCP FIN UDP
///     set-create NAME TYPE FAMILY
///     set-add|set-delete NAME ENTRY...     entries as ipset(8) spells them
///     set-fill NAME COUNT
///     set-flush|set-destroy|set-list|set-count NAME
///     set-swap NAME NAME
///     sets
///     device-ensure|device-remove
///     device-add|device-delete ADDRESS...
///     device-fill COUNT
///     device-list|device-count FAMILY
///     elsewhere
///     retire                               what a kube-proxy has left, both families at the same time
///     retire-cancelled                     of IPv4 and IPv6, by tasks that are cancelled already
///     device-lend ADDRESS ADDRESS...       the first, to the others
///     device-take-back FAMILY
struct Commands {
    private let servers = IPVSApplier()
    private let sets = IPSetApplier()
    private let device = ServiceDevice()
    private let changes = Changes()

    func run(_ words: [String]) async throws -> [String] {
        switch words[0].split(separator: "-").first {
        case "server", "real", "servers", "commit", "timeouts": try await runServers(words)
        case "set", "sets": try await runSets(words)
        default: try await runDevice(words)
        }
    }

    private func runServers(_ words: [String]) async throws -> [String] {
        switch words[0] {
        case "commit":
            let all = await changes.take()
            let clock = ContinuousClock()
            let start = clock.now
            let failures = try await servers.perform(all)
            return Self.lines(failures) + (all.count > 100 ? ["# \(all.count) changes in \(clock.now - start)"] : [])
        case "servers": return Self.lines(try await servers.list(try Words.family(words, 1)))
        case "timeouts":
            try await servers.set(
                IPVSTimeouts(
                    tcp: try Words.number(words, 1), tcpFin: try Words.number(words, 2),
                    udp: try Words.number(words, 3)))
            return []
        default:
            await changes.append(try Words.change(words))
            return []
        }
    }

    private func runSets(_ words: [String]) async throws -> [String] {
        if words[0] == "sets" {
            return try await sets.headers().values.sorted { $0.name < $1.name }.map { header in
                let family = header.family.map { " \($0.rawValue)" } ?? ""
                return
                    "\(header.name) \(header.type)\(family) \(header.entryCount ?? -1) entries, used by \(header.references)"
            }
        }
        let name = try Words.word(words, 1)
        switch words[0] {
        case "set-create":
            guard let kind = IPSet.Kind(rawValue: try Words.word(words, 2)) else { throw Words.Missing("type") }
            try await sets.create(name, kind, try Words.family(words, 3))
        case "set-add": return Self.lines(try await sets.add(try words.dropFirst(2).map(Words.entry), to: name))
        case "set-delete":
            return Self.lines(try await sets.delete(try words.dropFirst(2).map(Words.entry), from: name))
        case "set-fill":
            let entries = (0..<(try Words.number(words, 2))).map { IPSetEntry.addressAndPort(Words.key(numbered: $0)) }
            let clock = ContinuousClock()
            let start = clock.now
            let failures = try await sets.add(entries, to: name)
            let time = clock.now - start
            return Self.lines(Array(failures.prefix(3))) + ["\(failures.count) refused", "# in \(time)"]
        case "set-list":
            guard let found = try await sets.list(name) else { return ["no set \(name)"] }
            return found.entries.map(\.text).sorted()
                + (found.unknownEntryCount > 0 ? ["\(found.unknownEntryCount) unknown"] : [])
        case "set-count":
            let found = try await sets.list(name)
            return ["\(found?.entries.count ?? -1) entries"]
        case "set-flush": try await sets.flush(name)
        case "set-destroy": try await sets.destroy(name)
        case "set-swap": try await sets.swap(name, with: try Words.word(words, 2))
        default: throw Words.Missing("known command")
        }
        return []
    }

    private func runDevice(_ words: [String]) async throws -> [String] {
        switch words[0] {
        case "device-ensure": return [try await device.ensure() ? "made" : "was there"]
        case "device-remove": try await device.remove()
        case "device-add": return Self.lines(try await device.add(try words.dropFirst().map(Words.address)))
        case "device-delete": return Self.lines(try await device.delete(try words.dropFirst().map(Words.address)))
        case "device-fill":
            let addresses = (0..<(try Words.number(words, 1))).map { Words.key(numbered: $0).address }
            let clock = ContinuousClock()
            let start = clock.now
            let failures = try await device.add(addresses)
            return Self.lines(failures) + ["# \(addresses.count) addresses in \(clock.now - start)"]
        case "device-count": return ["\(try await device.list(try Words.family(words, 1)).count) addresses"]
        case "device-list": return try await device.list(try Words.family(words, 1)).map(\.description).sorted()
        case "retire":
            let cleaner = IPVSCleaner()
            async let first = cleaner.retire(.ipv4)
            async let second = cleaner.retire(.ipv6)
            return try await (first.failures + second.failures)
        case "retire-cancelled":
            var lines: [String] = []
            for family in IPFamily.allCases {
                let task = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    return try await IPVSCleaner().retire(family)
                }
                let report = try await task.value
                lines.append("\(family.rawValue) removed \(report.removed.summary), kept \(report.kept.summary)")
                lines += report.failures
            }
            return lines
        case "device-lend":
            let addresses = try words.dropFirst().map(Words.address)
            if let source = addresses.first { try await device.lend(source, to: Array(addresses.dropFirst())) }
        case "device-take-back": try await device.takeBack(try Words.family(words, 1))
        case "elsewhere": return device.addressesElsewhere().map { "\($0.key) \($0.value)" }.sorted()
        default: throw Words.Missing("known command")
        }
        return []
    }

    private static func lines(_ failures: [IPVSFailure]) -> [String] {
        failures.map { "\($0.index) \($0.error.kind): \($0.error)" }
    }

    private static func lines(_ servers: [VirtualServer.Key: FoundVirtualServer]) -> [String] {
        servers.map { key, server in
            let persistence =
                server.flags.contains(.persistent)
                ? " for \(server.persistenceSeconds) s by /\(server.persistencePrefixLength)" : ""
            let real = server.realServers.map { real, state in
                " > \(real.address) \(real.port) \(state.forwarding) weight \(state.weight), "
                    + "\(state.activeConnections)/\(state.inactiveConnections)/\(state.persistentConnections)"
            }
            return "\(key.protocol.lowercaseName) \(key.address) \(key.port) \(server.scheduler.name)"
                + " flags \(server.flags.rawValue)\(persistence)\(real.sorted().joined())"
        }.sorted()
    }

    /// What the next commit consists of.
    private actor Changes {
        private var changes: [IPVSChange] = []

        func append(_ more: [IPVSChange]) {
            changes += more
        }

        func take() -> [IPVSChange] {
            defer { changes = [] }
            return changes
        }
    }
}
