import ProxyCore

// The counters of services, for an operator.
extension DaemonStatus {
    /// What is said of one service; its ports are all meant where none is named.
    ///
    /// - Parameter name: `namespace/name`, or `namespace/name:port`.
    /// - Returns: a line for each family and port; nil where no service port has the name.
    public func text(ofService name: String) -> String? {
        let lines = families.flatMap { family in
            (family.services ?? []).filter { $0.service == name || $0.service.hasPrefix(name + ":") }.map {
                "\(family.family.rawValue) \($0.line)\n"
            }
        }
        return lines.isEmpty ? nil : lines.joined()
    }

    /// False where the daemon was not told to count.
    public var countsServices: Bool { families.contains { $0.services != nil } }
}

extension DaemonStatus.Family {
    private static let topCount = 5

    /// How many connections there were in all, and the services that had the most.
    var countLines: [(label: String, text: String)] {
        guard let services else { return [] }
        let packets = services.reduce(0) { $0 &+ $1.packets }
        let used = services.filter { $0.packets > 0 }.sorted { ($0.packets, $1.service) > ($1.packets, $0.service) }
        let sum = "\(packets) to \(used.count) of \(services.count) service ports"
        return [("connections", sum)] + used.prefix(Self.topCount).map { ("", $0.line) }
    }
}

extension DaemonStatus.ServiceCount {
    /// `default/web:http TCP: 12 connections, 720 bytes in their first packets`
    fileprivate var line: String {
        "\(service.printable(limit: 400)) \(self.protocol.printable(limit: 10)): "
            + "\(packets) connection\(packets == 1 ? "" : "s"), \(bytes) bytes in their first packets"
    }
}
