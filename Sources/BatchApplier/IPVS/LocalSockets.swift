import ProxyCore

/// The sockets of TCP of the process's network namespace, as /proc/net/tcp and /proc/net/tcp6 print them.
enum LocalSockets {
    /// How many connections are open from each address of this host.
    ///
    /// - Parameter table: a line of titles, then number, own address and port, the other end's, state and more, in
    ///   hexadecimal digits. Addresses are words of four bytes as they lie in memory.
    static func open(in table: String) -> [IPAddress: Int] {
        var counts: [IPAddress: Int] = [:]
        for line in table.split(separator: "\n").dropFirst() {
            let words = line.split(separator: " ")
            guard words.count > 3, openStates.contains(words[3]), let address = address(words[1].prefix { $0 != ":" })
            else { continue }
            counts[address, default: 0] += 1
        }
        return counts
    }

    /// TCP_ESTABLISHED, TCP_SYN_SENT, TCP_SYN_RECV, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSE_WAIT and TCP_LAST_ACK
    /// (net/tcp_states.h of Linux).
    private static let openStates: Set<Substring> = ["01", "02", "03", "04", "05", "08", "09"]

    /// An IPv4 address that a socket of IPv6 has is that address.
    private static func address(_ digits: Substring) -> IPAddress? {
        var bytes: [UInt8] = []
        var rest = digits
        while !rest.isEmpty {
            guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            withUnsafeBytes(of: word) { bytes += $0 }
            rest = rest.dropFirst(8)
        }
        let isMapped =
            bytes.count == 16 && bytes.prefix(12).elementsEqual([UInt8](repeating: 0, count: 10) + [255, 255])
        return IPAddress(networkBytes: isMapped ? bytes[12...] : bytes[...])
    }
}
