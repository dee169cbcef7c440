import ProxyCore

// What was found as the programs write it that list it.

extension FoundVirtualServer {
    /// `-A -t 172.30.1.1:80 -s wrr -p 300`
    func line(_ key: VirtualServer.Key) -> String {
        var text = "-A \(key.spelling) -s \(scheduler.name)"
        if flags.contains(.persistent) {
            text += " -p \(persistenceSeconds)"
            // Clients of a range stay together, which is written as a mask in IPv4.
            if persistencePrefixLength != key.address.family.bitWidth { text += " -M /\(persistencePrefixLength)" }
        }
        if flags.contains(.countsClientPort) { text += " -b \(scheduler.countsClientPort ? "mh-port" : "flag-2")" }
        let others = flags.subtracting([.persistent, .countsClientPort])
        return others.isEmpty ? text : text + " (flags 0x\(String(others.rawValue, radix: 16)))"
    }
}

extension FoundRealServer {
    /// `-a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 3`
    func line(_ server: RealServer, of key: VirtualServer.Key) -> String {
        server.line(of: key, forwarding: forwarding.option, weight: weight)
    }
}

extension FoundRealServer.Forwarding {
    /// As ipvsadm(8) has it where it has one.
    fileprivate var option: String {
        switch self {
        case .masquerading: "-m"
        case .tunnel: "-i"
        case .directRouting: "-g"
        case .localNode: "(local)"
        case .bypass: "(bypass)"
        case .other: "(another way)"
        }
    }
}

extension IPSetHeader {
    /// `create KUBE-CLUSTER-IP hash:ip family inet maxelem 65536`
    var line: String {
        var words = ["create", name, type]
        if let family { words += ["family", family == .ipv4 ? "inet" : "inet6"] }
        if let maximumSize { words += ["maxelem", "\(maximumSize)"] }
        if let ports { words += ["range", "\(ports.lowerBound)-\(ports.upperBound)"] }
        if let timeout { words += ["timeout", "\(timeout)"] }
        return words.joined(separator: " ")
    }
}
