import TestSupport

/// A namespace in which the peer lists and changes virtual servers, sets and the service device.
final class IPVSNode: Sendable {
    let namespace: Namespace

    init() throws {
        namespace = try Namespace()
        // Before a namespace has a first local address the kernel takes every address for a broadcast, which no real
        // server can have (inet_addr_type).
        try namespace.require(["ip", "link", "set", "lo", "up"])
    }

    /// Lets the peer run commands, a line each, and returns what it printed without times.
    func peer(_ commands: String) throws -> [String] {
        try lines(of: namespace.require([BuiltProducts.ipvsPeer], input: commands + "\n"))
    }

    /// Runs a program and returns its lines.
    func run(_ command: String...) throws -> [String] { try lines(of: namespace.require(command)) }

    func shell(_ script: String) throws { try namespace.require(["sh", "-ec", script]) }

    private func lines(of text: String) -> [String] {
        text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
    }
}
