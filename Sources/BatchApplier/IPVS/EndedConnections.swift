import Glibc
import ProxyCore
import SystemPackage

/// Counts connections that are over and still remembered, in the table that the kernel shows under /proc.
///
/// The kernel counts every connection that is not established as inactive: those that are over, for up to two minutes,
/// as well as those of which one end still sends. Only the table tells them apart.
struct EndedConnections {
    /// Where a connection leads, as the table spells it: the address and port of the virtual server, and of the real one.
    fileprivate struct Place: Hashable {
        var text: [UInt8]
    }

    private var counts: [Place: Int]
    private var rest: [UInt8] = []

    /// - Parameter servers: the real servers, of TCP, that are asked for.
    init(to servers: [(VirtualServer.Key, RealServer)]) {
        counts = Dictionary(servers.map { (Place($0, $1), 0) }, uniquingKeysWith: { first, _ in first })
    }

    func count(to server: RealServer, of key: VirtualServer.Key) -> Int { counts[Place(key, server)] ?? 0 }

    /// Reads the table of the thread's network namespace.
    mutating func read(_ path: FilePath = "/proc/thread-self/net/ip_vs_conn") throws(Errno) {
        do {
            let file = try FileDescriptor.open(path, .readOnly)
            defer { try? file.close() }
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                guard count > 0 else { return }
                take(buffer[..<count])
            }
        } catch {
            throw error as? Errno ?? .ioError
        }
    }

    /// Takes in a piece of the table.
    mutating func take(_ piece: ArraySlice<UInt8>) {
        rest += piece
        var start = rest.startIndex
        while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
            takeLine(rest[start..<end])
            start = end + 1
        }
        rest.removeSubrange(..<start)
    }

    /// The fields of `ip_vs_conn_seq_show` (net/netfilter/ipvs/ip_vs_conn.c): protocol, client's address and port, the
    /// virtual server's, the real server's, the state.
    private mutating func takeLine(_ line: ArraySlice<UInt8>) {
        guard line.starts(with: "TCP".utf8) else { return }
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 8)
        guard fields.count > 7, Self.ended.contains(where: { fields[7].elementsEqual($0) }) else { return }
        let place = Place(text: Array(fields[3...6].joined(separator: [UInt8(ascii: " ")])))
        if let count = counts[place] { counts[place] = count + 1 }
    }

    /// Both ends have said that they send no more, or one of them has refused.
    private static let ended = ["TIME_WAIT", "LAST_ACK", "CLOSE"].map { Array($0.utf8) }
}

extension EndedConnections.Place {
    fileprivate init(_ key: VirtualServer.Key, _ server: RealServer) {
        let fields = [
            Self.spell(key.address), Self.hexadecimal(key.port, 4), Self.spell(server.address),
            Self.hexadecimal(server.port, 4),
        ]
        text = Array(fields.joined(separator: " ").utf8)
    }

    /// IPv4 as one number in capitals, IPv6 in eight groups of four small digits.
    private static func spell(_ address: IPAddress) -> String {
        let digits = address.networkBytes.map { hexadecimal($0, 2) }.joined()
        guard address.family == .ipv6 else { return digits }
        let small = Array(digits.lowercased())
        return stride(from: 0, to: small.count, by: 4).map { String(small[$0..<($0 + 4)]) }.joined(separator: ":")
    }

    private static func hexadecimal(_ number: some FixedWidthInteger, _ width: Int) -> String {
        let digits = String(number, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
