import BatchApplier
import ProxyCore

/// Deletes stale flows by a query that it reads from its standard input, and prints what that came to.
///
///     conntrack-clean [SELECTOR-LIMIT | unfiltered | cancelled] [ROUNDS]
///
/// `unfiltered` asks as if the kernel knew no filters, `cancelled` in a task that is cancelled.
/// The query's lines: `family IPv4`, `full`, `range CIDR`, `local ADDRESS`, and for each destination
/// `address ADDRESS PORT` or `node-port PORT`, followed by `nobody` or by `to` and any number of `ADDRESS PORT`.
func cleanConntrack(_ words: ArraySlice<String>) async throws {
    let words = Array(words)
    let limit = words.first.flatMap { Int($0) } ?? (words.first == "unfiltered" ? 64 : 4)
    let cleaner = ConntrackCleaner(selectorLimit: limit, asksForFilters: words.first != "unfiltered")
    let query = readQuery()
    for _ in 0..<(words.count > 1 ? Int(words[1]) ?? 1 : 1) {
        let cleaning = Task { try await cleaner.clean(query) }
        if words.first == "cancelled" { cleaning.cancel() }
        let report = try await cleaning.value
        Output.say("deleted \(report.deleted) examined \(report.examined) dumps \(report.dumps)")
        Output.say("\(report.duration)")
    }
}

private func readQuery() -> FlowQuery {
    var family = IPFamily.ipv4
    var isFull = false
    var ranges: [CIDR] = []
    var local: Set<IPAddress> = []
    var claims: [FlowDestination: FlowQuery.Claim] = [:]
    while let line = readLine() {
        var words = line.split(separator: " ").map(String.init)[...]
        switch words.popFirst() {
        case "family": family = IPFamily(rawValue: words.first ?? "") ?? .ipv4
        case "full": isFull = true
        case "range": ranges += words.compactMap(CIDR.init)
        case "local": local.formUnion(words.compactMap(IPAddress.init))
        case "address": claims[.address(takeAddress(&words))] = claim(&words)
        case "node-port": claims[.nodePort(takePort(&words))] = claim(&words)
        default: Output.fail("\(line): not a line of a query")
        }
    }
    return FlowQuery(family: family, claims: claims, nodePortAddresses: local, serviceRanges: ranges, isFull: isFull)
}

private func claim(_ words: inout ArraySlice<String>) -> FlowQuery.Claim {
    guard words.popFirst() == "to" else { return .nobody }
    var endpoints: Set<TransportAddress> = []
    while !words.isEmpty { endpoints.insert(takeAddress(&words)) }
    return .service(endpoints: endpoints)
}

private func takeAddress(_ words: inout ArraySlice<String>) -> TransportAddress {
    guard let address = words.popFirst().flatMap({ IPAddress($0) }) else { Output.fail("an address is missing") }
    return TransportAddress(address, port: takePort(&words))
}

private func takePort(_ words: inout ArraySlice<String>) -> UInt16 {
    guard let port = words.popFirst().flatMap({ UInt16($0) }) else { Output.fail("a port is missing") }
    return port
}
