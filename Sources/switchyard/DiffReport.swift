import ChainRenderer
import Foundation
import ProxyCore

/// Differences as text for people and as JSON for programs.
enum DiffReport {
    struct Result {
        var family: IPFamily
        /// Nil where the comparison failed.
        var differences: RuleDifferences?
        /// Nil in other modes than ipvs.
        var wantedServerCount: Int?
    }

    // MARK: Text

    /// Nothing where nothing differs.
    static func text(_ results: [Result], inColour: Bool) -> String {
        var text = ""
        for result in results {
            guard let findings = result.differences?.findings, !findings.isEmpty else { continue }
            let count = findings.count == 1 ? "1 difference" : "\(findings.count) differences"
            text += "\(result.family.rawValue): \(count)\n"
            for (heading, group) in groups(findings) {
                text += "\n\(bold(heading, inColour))\n"
                for finding in group { text += describe(finding, inColour) }
            }
            text += "\n"
        }
        return String(text.dropLast(text.hasSuffix("\n\n") ? 1 : 0))
    }

    /// Findings by service port, those of no service port by chain, each group where its first finding is.
    private static func groups(_ findings: [Finding]) -> [(heading: String, findings: [Finding])] {
        var groups: [(String, [Finding])] = []
        var places: [String: Int] = [:]
        for finding in findings {
            let heading = finding.service ?? finding.chain ?? finding.table.map { "table \($0)" } ?? "all tables"
            if let place = places[heading] {
                groups[place].1.append(finding)
            } else {
                places[heading] = groups.count
                groups.append((heading, [finding]))
            }
        }
        return groups
    }

    private static func describe(_ finding: Finding, _ inColour: Bool) -> String {
        let place = [finding.table, finding.chain].compactMap(\.self).joined(separator: " ")
        var text = "  \(finding.kind.rawValue)\(place.isEmpty ? "" : " in \(printable(place))")"
        if let detail = finding.detail { text += ": \(detail)" }
        text += "\n"
        for rule in finding.wanted { text += coloured("    - \(printable(rule))", "31", inColour) + "\n" }
        for rule in finding.found { text += coloured("    + \(printable(rule))", "32", inColour) + "\n" }
        return text
    }

    /// A rule is other people's text: what a terminal would obey is taken out.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    scalar.value < 32 || (127..<160).contains(scalar.value) ? "\u{fffd}" : scalar
                }))
    }

    private static func bold(_ text: String, _ inColour: Bool) -> String { coloured(printable(text), "1", inColour) }

    private static func coloured(_ text: String, _ code: String, _ inColour: Bool) -> String {
        inColour ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }

    // MARK: JSON

    private struct Document: Encodable {
        var equal: Bool
        var families: [Family]
    }

    private struct Family: Encodable {
        var family: String
        var compared: Bool
        var wantedRules: Int
        var wantedServers: Int?
        var findings: [Entry]
    }

    private struct Entry: Encodable {
        var kind: String
        var service: String?
        var table: String?
        var chain: String?
        var detail: String?
        var wanted: [String]
        var found: [String]
    }

    /// The schema is in `docs/diff.md`.
    static func json(_ results: [Result]) throws -> String {
        let families = results.map { result in
            Family(
                family: result.family.rawValue, compared: result.differences != nil,
                wantedRules: result.differences?.wantedRuleCount ?? 0, wantedServers: result.wantedServerCount,
                findings: (result.differences?.findings ?? []).map { finding in
                    Entry(
                        kind: finding.kind.rawValue, service: finding.service, table: finding.table,
                        chain: finding.chain, detail: finding.detail, wanted: finding.wanted, found: finding.found)
                })
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let document = Document(
            equal: results.allSatisfy { $0.differences?.isEmpty == true }, families: families)
        return String(decoding: try encoder.encode(document), as: UTF8.self) + "\n"
    }
}
