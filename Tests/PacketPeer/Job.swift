import Glibc
import ProxyCore

/// What standard input asks for, a line each:
///
///     local ADDRESS
///     commit FAMILY TABLE OFFSETS HEX
///     probe TIMES SOURCE PROTOCOL DESTINATION PORT
///
/// An address of the node; a batch, where each of its messages begins (with commas between), and its bytes; a packet
/// that is sent so many times. Probes are numbered from 0 in the order of their lines.
struct Job {
    struct Probe {
        var packet: Packet
        var times: Int
    }

    var local: [IPAddress] = []
    var batches: [NFTablesBatch] = []
    var probes: [Probe] = []

    static func read() throws(PeerFailure) -> Job {
        var job = Job()
        while let line = readLine() {
            guard job.add(line.split(separator: " ")) else { throw PeerFailure("not a line of a job: \(line)") }
        }
        return job
    }

    private mutating func add(_ words: [Substring]) -> Bool {
        switch (words.first, words.count) {
        case ("local", 2):
            guard let address = IPAddress(String(words[1])) else { return false }
            local.append(address)
        case ("commit", 5):
            guard let family = IPFamily(rawValue: String(words[1])), let bytes = Self.bytes(hex: words[4]) else {
                return false
            }
            let offsets = words[3].split(separator: ",").compactMap { Int($0) }
            batches.append(NFTablesBatch(family: family, table: String(words[2]), bytes: bytes, offsets: offsets))
        case ("probe", 6):
            guard let times = Int(words[1]), let source = IPAddress(String(words[2])),
                let transport = TransportProtocol(rawValue: String(words[3])),
                let destination = IPAddress(String(words[4])), let port = UInt16(words[5]),
                let packet = Packet(from: source, to: destination, port: port, protocol: transport)
            else { return false }
            probes.append(Probe(packet: packet, times: times))
        default: return false
        }
        return true
    }

    private static func bytes(hex: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(hex.utf8.count / 2)
        var upper: UInt8?
        for character in hex.utf8 {
            let digit: UInt8
            switch character {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = character - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = character - UInt8(ascii: "a") + 10
            default: return nil
            }
            if let high = upper { bytes.append(high << 4 | digit) }
            upper = upper == nil ? digit : nil
        }
        return upper == nil ? bytes : nil
    }
}
