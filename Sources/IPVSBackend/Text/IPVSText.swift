import ProxyCore

// What is wanted as the programs write it that list it.
extension IPVSTable {
    /// As `ipvsadm --save --numeric` writes it, the virtual servers sorted, and under each its real servers.
    public var ipvsadmText: String {
        let servers = virtualServers.map { (key: $0.spelling, server: $0, realServers: $1) }.sorted { $0.key < $1.key }
        var lines: [String] = []
        for (_, key, server) in servers {
            lines.append(server.line(key))
            lines += server.realServers.map { $0.line(of: key) }.sorted()
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// As `ipset save` writes it, without what the kernel adds by itself (`bucketsize`, `initval`), sorted.
    public var ipsetText: String {
        let family = settings.node.family
        var text = ""
        for set in IPSet.allCases.sorted(by: { $0.name(family) < $1.name(family) }) {
            text += set.line(family) + "\n"
            for line in entries(set).map({ set.line($0, family) }).sorted() { text += line + "\n" }
        }
        return text
    }

    /// The addresses of `kube-ipvs0`, one a line, sorted.
    public var addressText: String { addresses.map(\.description).sorted().joined(separator: "\n") + "\n" }
}

extension VirtualServer.Key {
    /// `-t 172.30.1.1:80`
    var spelling: String {
        let option =
            switch `protocol` {
            case .tcp: "-t"
            case .udp: "-u"
            case .sctp: "--sctp-service"
            }
        return "\(option) \(endpoint(address, port))"
    }

    /// `tcp 172.30.1.1:80`
    var text: String { "\(`protocol`.lowercaseName) \(endpoint(address, port))" }
}

extension VirtualServer {
    /// `-A -t 172.30.1.1:80 -s rr`
    func line(_ key: Key) -> String {
        "-A \(key.spelling) -s \(scheduler.name)" + (persistenceSeconds.map { " -p \($0)" } ?? "")
            + (scheduler.countsClientPort ? " -b \(scheduler.name)-port" : "")
    }
}

extension RealServer {
    /// `-a -t 172.30.1.1:80 -r 10.180.1.9:8080 -m -w 1`
    func line(of key: VirtualServer.Key, forwarding: String = "-m", weight: Int = 1) -> String {
        "-a \(key.spelling) -r \(endpoint(address, port)) \(forwarding) -w \(weight)"
    }
}

extension IPSet {
    /// `create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536`
    func line(_ family: IPFamily) -> String {
        "create \(name(family)) \(kind.rawValue) "
            + (kind == .ports
                ? "range 0-65535" : "family \(family == .ipv4 ? "inet" : "inet6") hashsize 1024 maxelem \(Self.size)")
    }

    /// `add KUBE-CLUSTER-IP 172.30.1.1,tcp:80`
    func line(_ entry: IPSetEntry, _ family: IPFamily) -> String { "add \(name(family)) \(entry.text)" }
}

func endpoint(_ address: IPAddress, _ port: UInt16) -> String {
    address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
}
