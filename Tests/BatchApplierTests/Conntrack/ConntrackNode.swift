import ProxyCore
import TestSupport
import Testing

/// A namespace with a table of connections.
final class ConntrackNode: Sendable {
    let namespace: Namespace

    init() throws {
        namespace = try Namespace()
    }

    /// Makes entries for one destination, from sources that are numbered; without an endpoint they are not translated.
    func fill(
        _ transport: String = "udp", _ count: Int = 3, to destination: String, _ endpoint: String? = nil,
        spread: Int = 1, skipping first: Int = 0
    ) throws {
        let words = destination.split(separator: " ").map(String.init)
        let target = (endpoint ?? destination).split(separator: " ").map(String.init)
        try namespace.require(
            [BuiltProducts.netlinkPeer, "conntrack-fill", transport, String(count)] + words + target
                + [String(spread), String(first)])
    }

    /// Cleans by a query and returns what was printed, without the time.
    func clean(_ query: String, _ options: String...) throws -> String {
        let output = try namespace.require([BuiltProducts.netlinkPeer, "conntrack-clean"] + options, input: query)
        return output.split(separator: "\n").first.map(String.init) ?? ""
    }

    /// How many entries there are of each kind, as `udp DESTINATION PORT > ENDPOINT PORT`.
    func entries(_ family: IPFamily = .ipv4) throws -> [String: Int] {
        let version = family == .ipv4 ? "ipv4" : "ipv6"
        let lines = try namespace.require(["conntrack", "-L", "-f", version]).split(separator: "\n")
        var counts: [String: Int] = [:]
        for line in lines {
            var fields: [Substring: [Substring]] = [:]
            let words = line.split(separator: " ")
            for word in words {
                let pair = word.split(separator: "=", maxSplits: 1)
                if pair.count == 2 { fields[pair[0], default: []].append(pair[1]) }
            }
            let sources = try #require(fields["src"])
            let ports = try #require(fields["sport"])
            try #require(sources.count == 2 && ports.count == 2)
            let destination = "\(fields["dst"]?.first ?? "?") \(fields["dport"]?.first ?? "?")"
            counts["\(words[0]) \(destination) > \(sources[1]) \(ports[1])", default: 0] += 1
        }
        return counts
    }
}
