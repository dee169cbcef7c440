import ProxyCore

/// The table of connections of IPVS, as /proc/net/ip_vs_conn prints it.
enum IPVSConnections {
    /// How many connections of each virtual server at least one end has not closed.
    ///
    /// The counts that the kernel keeps of real servers do not tell: where a new connection that does not go through
    /// IPVS has the port of an old one that did, the kernel takes its answers for those of the old one and counts that
    /// as active again, in state SYN_SENT, which no connection of a client has.
    ///
    /// - Parameter table: a line of titles, then protocol, client, virtual server and real server with their ports, all
    ///   in hexadecimal digits, state, and seconds left.
    static func open(in table: String) -> [VirtualServer.Key: Int] {
        var counts: [VirtualServer.Key: Int] = [:]
        for line in table.split(separator: "\n").dropFirst() {
            let words = line.split(separator: " ")
            guard words.count > 7, openStates.contains(words[7]),
                let transport = TransportProtocol.allCases.first(where: { $0.rawValue == words[0] }),
                let address = address(words[3]), let port = UInt16(words[4], radix: 16)
            else { continue }
            counts[.init(address, transport, port), default: 0] += 1
        }
        return counts
    }

    private static let openStates: Set<Substring> = ["SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT"]

    /// IPv4 is a number in eight digits, IPv6 has all its colons.
    private static func address(_ word: Substring) -> IPAddress? {
        word.contains(":") ? IPAddress(String(word)) : UInt32(word, radix: 16).map { IPAddress(ipv4: $0) }
    }
}
