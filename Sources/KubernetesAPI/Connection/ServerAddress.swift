import ProxyCore

/// Where an API server is: `https://10.0.0.1:6443`, with a path put before every request's where there is one.
public struct ServerAddress: Hashable, Sendable, CustomStringConvertible {
    public var usesTLS: Bool
    /// A name or an IP address, without brackets.
    public var host: String
    public var port: Int
    /// Empty, or with a slash at its beginning and none at its end.
    public var pathPrefix: String

    public init(usesTLS: Bool, host: String, port: Int, pathPrefix: String = "") {
        self.usesTLS = usesTLS
        self.host = host
        self.port = port
        self.pathPrefix = pathPrefix
    }

    /// Reads an address of the form `https://HOST[:PORT][/PATH]`, or `http://`; nil if it is none.
    public init?(_ text: String) {
        guard let separator = text.firstRange(of: "://") else { return nil }
        switch text[..<separator.lowerBound].lowercased() {
        case "https": usesTLS = true
        case "http": usesTLS = false
        default: return nil
        }
        let rest = text[separator.upperBound...]
        let authority = rest.prefix { $0 != "/" }
        var path = rest[authority.endIndex...]
        while path.last == "/" { path.removeLast() }
        guard path.utf8.allSatisfy(Self.isPathByte), let place = Self.place(authority) else { return nil }
        host = place.host
        port = place.port ?? (usesTLS ? 443 : 80)
        pathPrefix = String(path)
    }

    public var description: String { "\(usesTLS ? "https" : "http")://\(authority)\(pathPrefix)" }

    /// The host, in brackets if it is an IPv6 address, and the port unless it is the scheme's own.
    var authority: String { Self.authority(host: host, port: port, usesTLS: usesTLS) }

    /// False if what is sent there can be read on a network.
    var isLoopback: Bool { IPAddress(host)?.isLoopback ?? (host == "localhost") }

    static func authority(host: String, port: Int, usesTLS: Bool) -> String {
        let shown = host.contains(":") ? "[\(host)]" : host
        return port == (usesTLS ? 443 : 80) ? shown : "\(shown):\(port)"
    }

    private static func place(_ authority: Substring) -> (host: String, port: Int?)? {
        let host: Substring
        let rest: Substring
        if authority.first == "[" {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<end]
            rest = authority[authority.index(after: end)...]
            guard IPAddress(String(host))?.family == .ipv6 else { return nil }
        } else {
            host = authority.prefix { $0 != ":" }
            rest = authority[host.endIndex...]
            guard isHostName(host) else { return nil }
        }
        guard let colon = rest.first else { return (String(host), nil) }
        guard colon == ":", let port = Self.port(rest.dropFirst()) else { return nil }
        return (String(host), port)
    }

    /// A port of TCP in decimal digits: 1 to 65535.
    static func port(_ text: some StringProtocol) -> Int? {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(text), port > 0 else { return nil }
        return Int(port)
    }

    /// Whether a text can be the name of a host, or an IPv4 address.
    static func isHostName(_ text: some StringProtocol) -> Bool {
        !text.isEmpty && text.utf8.count <= 253 && text.first != "." && text.first != "-"
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 48...57: true
                case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
                default: false
                }
            }
    }

    /// What may stand in the path of a URL without being escaped (RFC 3986, `pchar` and `/`), and what is escaped.
    private static func isPathByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 48...57: true
        default: "/-._~!$&'()*+,;=:@%".utf8.contains(byte)
        }
    }
}
