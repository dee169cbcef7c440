import ProxyCore

// What is wanted as the programs write it that list it.
extension IPVSTable {
    /// As `ipvsadm --save --numeric` writes it, the virtual servers sorted, and under each its real servers.
    public var ipvsadmText: String {
        let servers = virtualServers.map { (key: $0.spelling, server: $0, realServers: $1) }.sorted { $0.key < $1.key }
        var lines: [String] = []
        for (key, _, server) in servers {
            lines.append("-A \(key) -s \(server.scheduler.name)\(server.options)")
            lines += server.realServers.map { "-a \(key) -r \(endpoint($0.address, $0.port)) -m -w 1" }.sorted()
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// As `ipset save` writes it, without what the kernel adds by itself (`bucketsize`, `initval`), sorted.
    public var ipsetText: String {
        let family = settings.node.family
        var text = ""
        for (name, set) in IPSet.allCases.map({ ($0.name(family), $0) }).sorted(by: { $0.0 < $1.0 }) {
            text += "create \(name) \(set.kind.rawValue) "
            text +=
                set.kind == .ports
                ? "range 0-65535\n"
                : "family \(family == .ipv4 ? "inet" : "inet6") hashsize 1024 maxelem \(IPSet.size)\n"
            for entry in entries(set).map(\.text).sorted() { text += "add \(name) \(entry)\n" }
        }
        return text
    }

    /// The addresses of `kube-ipvs0`, one a line, sorted.
    public var addressText: String { addresses.map(\.description).sorted().joined(separator: "\n") + "\n" }
}

extension VirtualServer.Key {
    /// `-t 172.30.1.1:80`
    fileprivate var spelling: String {
        let option =
            switch `protocol` {
            case .tcp: "-t"
            case .udp: "-u"
            case .sctp: "--sctp-service"
            }
        return "\(option) \(endpoint(address, port))"
    }
}

extension VirtualServer {
    fileprivate var options: String {
        (persistenceSeconds.map { " -p \($0)" } ?? "")
            + (scheduler.countsClientPort ? " -b \(scheduler.name)-port" : "")
    }
}

private func endpoint(_ address: IPAddress, _ port: UInt16) -> String {
    address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
}
