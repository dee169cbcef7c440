/// The namespace and name of an object.
public struct ObjectName: Hashable, Sendable {
    public let namespace: String
    public let name: String

    /// Names go into rule text unquoted, so only what Kubernetes allows in the names of these objects passes:
    /// letters, digits, `-`, `.` and `_`. Nil for anything else, for nothing, and for more than 253 characters.
    public init?(namespace: String, name: String) {
        guard Self.isValid(namespace), Self.isValid(name) else { return nil }
        self.namespace = namespace
        self.name = name
    }

    /// True for a text of 1 to `limit` letters, digits, `-`, `.` and `_`.
    public static func isValid(_ text: String, limit: Int = 253) -> Bool {
        (1...limit).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}

extension ObjectName: Comparable, CustomStringConvertible {
    /// By namespace, then name, bytewise.
    public static func < (left: Self, right: Self) -> Bool {
        left.namespace == right.namespace ? left.name < right.name : left.namespace < right.namespace
    }

    /// `namespace/name`
    public var description: String { "\(namespace)/\(name)" }
}

/// One port of one Service: what rules are made for.
public struct ServicePortName: Hashable, Sendable {
    public let service: ObjectName
    /// The port's name, empty if it has none.
    public let port: String
    public let `protocol`: TransportProtocol

    public init(service: ObjectName, port: String, protocol: TransportProtocol) {
        self.service = service
        self.port = port
        self.protocol = `protocol`
    }
}

extension ServicePortName: Comparable, CustomStringConvertible {
    /// By namespace, name, port name and protocol, bytewise: the order of rules.
    public static func < (left: Self, right: Self) -> Bool {
        if left.service != right.service { return left.service < right.service }
        if left.port != right.port { return left.port < right.port }
        return left.protocol < right.protocol
    }

    /// `namespace/name:port`, or `namespace/name` for a port without a name. The protocol is not part of it.
    public var description: String { port.isEmpty ? "\(service)" : "\(service):\(port)" }
}
