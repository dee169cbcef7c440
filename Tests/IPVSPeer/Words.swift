import ProxyCore

/// Values out of the words of a command.
enum Words {
    struct Missing: Error, CustomStringConvertible {
        var what: String
        var description: String { "a \(what) is missing" }

        init(_ what: String) {
            self.what = what
        }
    }

    static func word(_ words: [String], _ index: Int) throws(Missing) -> String {
        guard words.indices.contains(index) else { throw Missing("word") }
        return words[index]
    }

    static func number(_ words: [String], _ index: Int) throws(Missing) -> Int {
        guard let number = Int(try word(words, index)) else { throw Missing("number") }
        return number
    }

    static func port(_ text: String) throws(Missing) -> UInt16 {
        guard let port = UInt16(text) else { throw Missing("port") }
        return port
    }

    static func family(_ words: [String], _ index: Int) throws(Missing) -> IPFamily {
        guard let family = IPFamily(rawValue: try word(words, index)) else { throw Missing("family") }
        return family
    }

    static func address(_ text: String) throws(Missing) -> IPAddress {
        guard let address = IPAddress(text) else { throw Missing("address") }
        return address
    }

    static func transport(_ text: String) throws(Missing) -> TransportProtocol {
        guard let transport = TransportProtocol(rawValue: text.uppercased()) else { throw Missing("protocol") }
        return transport
    }

    /// An address with a port that differs from number to number.
    static func key(numbered number: Int) -> VirtualServer.Key {
        let address = IPAddress(ipv4: 0xac1e_0000 + UInt32(truncatingIfNeeded: number))
        return VirtualServer.Key(address, .tcp, 80)
    }

    static func change(_ words: [String]) throws(Missing) -> [IPVSChange] {
        if words[0] == "server-fill" {
            return try (0..<number(words, 1)).flatMap { number -> [IPVSChange] in
                let key = Self.key(numbered: number)
                let server = VirtualServer(scheduler: IPVSScheduler("rr"), persistenceSeconds: nil, realServers: [])
                let real = RealServer(IPAddress(ipv4: 0x0a00_0000 + UInt32(truncatingIfNeeded: number)), 8080)
                return [.addServer(key, server), .addRealServer(real, weight: 1, of: key)]
            }
        }
        let key = VirtualServer.Key(
            try address(word(words, 2)), try transport(word(words, 1)), try port(word(words, 3)))
        switch words[0] {
        case "server-delete": return [.deleteServer(key)]
        case "server-add", "server-change":
            let seconds = words.count > 5 ? try number(words, 5) : nil
            let server = VirtualServer(
                scheduler: IPVSScheduler(try word(words, 4)), persistenceSeconds: seconds, realServers: [])
            return [words[0] == "server-add" ? .addServer(key, server) : .changeServer(key, server)]
        default: break
        }
        let real = RealServer(try address(word(words, 4)), try port(word(words, 5)))
        switch words[0] {
        case "real-add": return [.addRealServer(real, weight: try number(words, 6), of: key)]
        case "real-change": return [.changeRealServer(real, weight: try number(words, 6), of: key)]
        case "real-delete": return [.deleteRealServer(real, of: key)]
        default: throw Missing("known command")
        }
    }

    /// An entry as ipset(8) spells it.
    static func entry(_ text: String) throws(Missing) -> IPSetEntry {
        let parts = text.split(separator: ",").map(String.init)
        if parts.count == 1 {
            if let port = UInt16(text) { return .port(port) }
            return .address(try address(text))
        }
        let pair = parts[1].split(separator: ":").map(String.init)
        let key = VirtualServer.Key(
            try address(parts[0]), try transport(word(pair, 0)), try port(word(pair, 1)))
        guard parts.count > 2 else { return .addressAndPort(key) }
        if let range = CIDR(parts[2]) { return .range(key, range) }
        return .pair(key, try address(parts[2]))
    }
}
