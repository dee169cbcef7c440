// Servers and clients for traffic tests and the demo: they run inside network namespaces.

import Glibc

let usage = """
    usage:
      traffic-peer serve --name NAME [--tcp PORT...] [--udp PORT...] [--hold PORT...] [--bind ADDRESS] [--http]
          [--upstream HOST PORT]
      traffic-peer ask --tcp|--udp HOST PORT [--count N] [--source ADDRESS]... [--first-port PORT] [--timeout MS]
          [--every MS] [--http] [--summary]
      traffic-peer storm --tcp HOST PORT [--count N] --source ADDRESS...
      traffic-peer visit [--every MS] [--timeout MS] --tcp HOST PORT...
      traffic-peer stream [--interval MS] --udp|--tcp HOST PORT...
      traffic-peer hold [--timeout MS]

    serve prints "ready", then answers each connection or datagram with "NAME ADDRESS-OF-PEER". On a port to hold it
    keeps TCP connections, and answers whenever something arrives.
    ask prints a line per attempt: the answer, refused, timeout or unreachable; a tab; the milliseconds it took.
    With several sources each is used for N attempts in its turn. With --summary: a count and an answer per line.
    With --first-port, which needs a source, the attempts from each have this port and those after it.
    Attempts follow each other at once, or begin --every so many milliseconds. After three timeouts in a row it gives up.
    storm connects N times from each source, one connection after the other as fast as it can, and ends with a count and
    an answer per line.
    visit opens a connection --every so many milliseconds to one server after the other until standard input ends, says at
    once which came to nothing, and ends with a count and an answer per line and the longest time.
    stream asks every server once in each interval, each over one socket, until it is ended; a line per answer:
    milliseconds since the epoch, the server's number from 0, and its name, refused, timeout, unreachable or closed.
    hold prints "ready" and answers each line of its input with one. "open tcp|udp HOST PORT" connects, asks and stays
    connected; "ask N" asks over the N-th of these, from 0; "reset N" ends it by a reset. At the end of the input all are.

    """

/// Writes at once, past stdio's buffer: whoever started us waits for the line.
func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(1, bytes, bytes.count)
}

func fail(_ sentence: String) -> Never {
    let bytes = Array("traffic-peer: \(sentence)\n\n\(usage)".utf8)
    _ = write(2, bytes, bytes.count)
    exit(2)
}

/// The words of the command line, taken from the front.
struct Words {
    private var words: ArraySlice<String>

    init(_ words: [String]) {
        self.words = words[...]
    }

    mutating func next() -> String? { words.popFirst() }

    mutating func value(of option: String) -> String {
        guard let word = words.popFirst() else { fail("\(option) needs a value") }
        return word
    }

    mutating func number(of option: String) -> Int {
        let word = value(of: option)
        guard let number = Int(word), number >= 0 else { fail("\(option): \"\(word)\" is not a number") }
        return number
    }

    mutating func port(of option: String) -> UInt16 {
        let word = value(of: option)
        guard let port = UInt16(word) else { fail("\(option): \"\(word)\" is not a port") }
        return port
    }

    mutating func ports(of option: String) -> [UInt16] {
        var ports = [port(of: option)]
        while let word = words.first, let port = UInt16(word) {
            ports.append(port)
            words.removeFirst()
        }
        return ports
    }

    mutating func address(of option: String) -> SocketAddress {
        let host = value(of: option)
        let port = port(of: option)
        guard let address = SocketAddress(host: host, port: port) else {
            fail("\(option): \"\(host)\" is not an address")
        }
        return address
    }
}

func serve(_ words: inout Words) -> Never {
    var server = Server(name: "")
    while let word = words.next() {
        switch word {
        case "--name": server.name = words.value(of: word)
        case "--tcp": server.tcpPorts += words.ports(of: word)
        case "--udp": server.udpPorts += words.ports(of: word)
        case "--hold": server.heldPorts += words.ports(of: word)
        case "--bind": server.address = words.value(of: word)
        case "--http": server.usesHTTP = true
        case "--upstream":
            server.upstreams.append(Client(transport: .tcp, server: words.address(of: word), usesHTTP: true))
        default: fail("unknown option \(word)")
        }
    }
    if server.name.isEmpty { fail("serve needs --name") }
    if (server.tcpPorts + server.udpPorts + server.heldPorts).isEmpty { fail("serve needs a port") }
    do throws(Failure) {
        try server.run()
    } catch {
        fail("cannot serve on \(server.address): \(error.text)")
    }
}

func ask(_ words: inout Words) {
    var client: Client?
    var count = 1
    var sources: [SocketAddress] = []
    var firstPort: UInt16?
    var timeout = 1000
    var period = 0.0
    var usesHTTP = false
    var summary = false
    while let word = words.next() {
        switch word {
        case "--tcp": client = Client(transport: .tcp, server: words.address(of: word))
        case "--udp": client = Client(transport: .udp, server: words.address(of: word))
        case "--count": count = words.number(of: word)
        case "--first-port": firstPort = words.port(of: word)
        case "--timeout": timeout = words.number(of: word)
        case "--every": period = Double(words.number(of: word))
        case "--http": usesHTTP = true
        case "--summary": summary = true
        case "--source":
            let host = words.value(of: word)
            guard let address = SocketAddress(host: host, port: 0) else { fail("\"\(host)\" is not an address") }
            sources.append(address)
        default: fail("unknown option \(word)")
        }
    }
    guard var client else { fail("ask needs --tcp or --udp with a host and a port") }
    client.timeout = timeout
    client.usesHTTP = usesHTTP
    var counts: [String: Int] = [:]
    var timeouts = 0
    for source in sources.isEmpty ? [nil] : sources.map(Optional.some) {
        client.source = source
        for number in 0..<count where timeouts < 3 {
            if let firstPort { client.source?.port = firstPort &+ UInt16(truncatingIfNeeded: number) }
            let start = milliseconds()
            let answer = client.ask()
            timeouts = answer == Failure.timeout.text ? timeouts + 1 : 0
            let hundredths = Int((milliseconds() - start) * 100)
            let fraction = hundredths % 100
            if summary {
                counts[answer, default: 0] += 1
            } else {
                say("\(answer)\t\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)")
            }
            let rest = start + period - milliseconds()
            if rest > 0 { usleep(UInt32(rest * 1000)) }
        }
    }
    for (answer, count) in counts.sorted(by: { $0.key < $1.key }) {
        say("\(count)\t\(answer)")
    }
}

func storm(_ words: inout Words) {
    var server: SocketAddress?
    var sources: [SocketAddress] = []
    var count = 1
    while let word = words.next() {
        switch word {
        case "--tcp": server = words.address(of: word)
        case "--count": count = words.number(of: word)
        case "--source":
            let host = words.value(of: word)
            guard let address = SocketAddress(host: host, port: 0) else { fail("\"\(host)\" is not an address") }
            sources.append(address)
        default: fail("unknown option \(word)")
        }
    }
    guard let server, !sources.isEmpty else { fail("storm needs --tcp with a host and a port, and a source") }
    Storm(server: server, sources: sources, count: count).run()
}

func visit(_ words: inout Words) {
    var visits = Visits()
    while let word = words.next() {
        switch word {
        case "--tcp": visits.servers.append(words.address(of: word))
        case "--every": visits.period = words.number(of: word)
        case "--timeout": visits.timeout = words.number(of: word)
        default: fail("unknown option \(word)")
        }
    }
    if visits.servers.isEmpty { fail("visit needs --tcp with a host and a port") }
    visits.run()
}

func stream(_ words: inout Words) -> Never {
    var stream = Stream()
    while let word = words.next() {
        switch word {
        case "--tcp": stream.add(.tcp, words.address(of: word))
        case "--udp": stream.add(.udp, words.address(of: word))
        case "--interval": stream.interval = words.number(of: word)
        default: fail("unknown option \(word)")
        }
    }
    do throws(Failure) {
        try stream.run()
    } catch {
        fail("cannot stream: \(error.text)")
    }
}

func hold(_ words: inout Words) {
    var holder = Holder()
    while let word = words.next() {
        switch word {
        case "--timeout": holder.timeout = words.number(of: word)
        default: fail("unknown option \(word)")
        }
    }
    holder.run()
}

var words = Words(Array(CommandLine.arguments.dropFirst()))
switch words.next() {
case "serve": serve(&words)
case "ask": ask(&words)
case "storm": storm(&words)
case "visit": visit(&words)
case "stream": stream(&words)
case "hold": hold(&words)
default: fail("say serve, ask, storm, visit, stream or hold")
}
