public import ProxyCore

extension IPVSBatch {
    /// What it does, but for the rules, as commands that would do the same, in its order. Lines of one kind are sorted.
    public func commands(on found: IPVSKernelState) -> [String] {
        var lines: [String] = []
        for set in neededSets where found.sets[set] == nil { lines.append("ipset \(set.line(family))") }
        for change in replacedSets {
            lines.append("ipset destroy \(change.set.name(family))")
            lines.append("ipset \(change.set.line(family))")
            lines += change.lines("add", family)
        }
        for change in addedEntries { lines += change.lines("add", family) }
        if let timeouts, timeouts != IPVSTimeouts() {
            let values = [timeouts.tcp, timeouts.tcpFin, timeouts.udp].map { "\($0 ?? 0)" }
            lines.append("ipvsadm --set \(values.joined(separator: " "))")
        }
        lines += serverChanges.map { "ipvsadm \($0.line)" }
        lines += addedAddresses.map { "ip address add \($0)/\(family.bitWidth) dev kube-ipvs0" }.sorted()
        lines += serverRemovals.map { "ipvsadm \($0.line)" }
        lines += removedAddresses.map { "ip address del \($0)/\(family.bitWidth) dev kube-ipvs0" }.sorted()
        for change in removedEntries { lines += change.lines("del", family) }
        return lines
    }
}

extension IPVSBatch.SetChange {
    fileprivate func lines(_ verb: String, _ family: IPFamily) -> [String] {
        entries.map { "ipset \(verb) \(set.name(family)) \($0.text)" }.sorted()
    }
}

extension IPVSChange {
    /// As ipvsadm(8) takes it.
    fileprivate var line: String {
        switch self {
        case .addServer(let key, let server): server.line(key)
        case .changeServer(let key, let server): "-E" + server.line(key).dropFirst(2)
        case .deleteServer(let key): "-D \(key.spelling)"
        case .addRealServer(let server, let weight, let key): server.line(of: key, weight: weight)
        case .changeRealServer(let server, let weight, let key):
            "-e" + server.line(of: key, weight: weight).dropFirst(2)
        case .deleteRealServer(let server, let key): "-d \(key.spelling) -r \(endpoint(server.address, server.port))"
        }
    }
}
