import ProxyCore
import SystemPackage

/// The connections of IPVS that at least one end has not closed, out of the table that the kernel prints.
///
/// The counts that the kernel keeps of a real server do not tell. As inactive it counts every connection that is not
/// established: those that are over, for up to two minutes, as well as those of which one end still sends. And where a
/// new connection that does not go through IPVS has the port of an old one that did, the kernel takes its answers for
/// those of the old one and counts that as active again, in state SYN_SENT, which no connection of a client has.
struct IPVSConnections {
    /// How many, by virtual and real server.
    private(set) var open: [VirtualServer.Key: [RealServer: Int]] = [:]
    private var rest: [UInt8] = []

    /// Those of the thread's network namespace, by virtual and real server.
    ///
    /// Where connections end while the kernel prints the table, it may pass over others: so it is read twice.
    static func open() throws(Errno) -> [VirtualServer.Key: [RealServer: Int]] {
        var (first, second) = (IPVSConnections(), IPVSConnections())
        try first.read()
        try second.read()
        return first.open.merging(second.open) { $0.merging($1, uniquingKeysWith: max) }
    }

    private mutating func read(_ path: FilePath = "/proc/thread-self/net/ip_vs_conn") throws(Errno) {
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
            take(line: rest[start..<end])
            start = end + 1
        }
        rest.removeSubrange(..<start)
    }

    /// The fields of `ip_vs_conn_seq_show` (net/netfilter/ipvs/ip_vs_conn.c): protocol, then client, virtual server and
    /// real server with their ports, all in hexadecimal digits, state, and seconds left.
    private mutating func take(line: ArraySlice<UInt8>) {
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 8)
        guard fields.count > 7, Self.openStates.contains(where: { fields[7].elementsEqual($0) }),
            let transport = TransportProtocol.allCases.first(where: { fields[0].elementsEqual($0.rawValue.utf8) }),
            let address = Self.address(fields[3]), let port = Self.number(fields[4]),
            let server = Self.address(fields[5]), let serverPort = Self.number(fields[6])
        else { return }
        let key = VirtualServer.Key(address, transport, UInt16(truncatingIfNeeded: port))
        open[key, default: [:]][RealServer(server, UInt16(truncatingIfNeeded: serverPort)), default: 0] += 1
    }

    private static let openStates = ["SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT"].map { Array($0.utf8) }

    /// IPv4 is a number in eight digits, IPv6 has all its colons and digits.
    private static func address(_ word: ArraySlice<UInt8>) -> IPAddress? {
        var digits = word.filter { $0 != UInt8(ascii: ":") }[...]
        guard digits.count == 8 || digits.count == 32 else { return nil }
        var bytes: [UInt8] = []
        while !digits.isEmpty {
            guard let byte = number(digits.prefix(2)) else { return nil }
            bytes.append(UInt8(truncatingIfNeeded: byte))
            digits = digits.dropFirst(2)
        }
        return IPAddress(networkBytes: bytes[...])
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt32? {
        var number: UInt32 = 0
        for digit in digits {
            guard let value = Character(UnicodeScalar(digit)).hexDigitValue else { return nil }
            number = number << 4 | UInt32(value)
        }
        return digits.isEmpty || digits.count > 8 ? nil : number
    }
}
