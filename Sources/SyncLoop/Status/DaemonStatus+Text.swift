import BatchApplier
public import Foundation
import ProxyCore

extension DaemonStatus {
    /// The status in lines for an operator: first whether all is well and what is not, then the rest.
    public func text(at now: Date = Date()) -> String {
        var lines = healthy ? ["healthy"] : ["NOT HEALTHY: \(problems.first.map(Self.shown) ?? "no reason is given")"]
        lines += problems.dropFirst(healthy ? 0 : 1).map { "  \(Self.shown($0))" }
        lines.append("")
        let place = [
            variant.map { "\(mode.rawValue) (\($0.rawValue))" } ?? mode.rawValue, "node \(Self.shown(nodeName))",
        ]
        lines.append(
            "switchyard \(Self.shown(version)), \(place.joined(separator: ", ")), process \(processID), started "
                + Self.past(startedAt, now))
        lines += source.lines(at: now)
        for family in families { lines += family.lines(at: now) }
        if let conntrack {
            lines.append(Self.row("conntrack", conntrack.line(at: now)))
            if let failure = conntrack.failure { lines.append(Self.row("", Self.shown(failure))) }
        }
        if logLinesDropped > 0 { lines.append(Self.row("log", "\(logLinesDropped) lines lost")) }
        return lines.map { $0 + "\n" }.joined()
    }

    /// A label and what it is about, in two columns.
    fileprivate static func row(_ label: String, _ text: String, indent: Int = 0) -> String {
        let start = String(repeating: " ", count: indent) + label
        return start + String(repeating: " ", count: max(1, 16 - start.count)) + text
    }

    fileprivate static func shown(_ text: String) -> String { text.printable(limit: 2000) }

    /// `3 m 10 s ago`
    fileprivate static func past(_ date: Date, _ now: Date) -> String {
        "\(span(now.timeIntervalSince(date))) ago"
    }

    /// A span of time in its two largest units: `2 d 3 h`, `12 s`, `0.14 s`.
    fileprivate static func span(_ seconds: Double) -> String {
        // A clock may have been set back.
        let seconds = max(seconds, 0)
        guard seconds >= 10 else { return "\(hundredths(seconds)) s" }
        // Larger than any time that a daemon runs, and no number that traps.
        let whole = Int(min(seconds, 1e12))
        let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]
        guard let first = units.firstIndex(where: { whole >= $0.1 }) else { return "0 s" }
        var rest = whole
        return units[first...].prefix(2).map { unit in
            defer { rest %= unit.1 }
            return "\(rest / unit.1) \(unit.0)"
        }.joined(separator: " ")
    }

    private static func hundredths(_ seconds: Double) -> String {
        let count = Int((seconds * 100).rounded())
        let fraction = count % 100
        return fraction == 0 ? "\(count / 100)" : "\(count / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }
}

extension DaemonStatus.Source {
    fileprivate func lines(at now: Date) -> [String] {
        let missing = ObjectKind.allCases.filter { !synced.contains($0) }
        let waiting = missing.isEmpty ? "" : ", waiting for \(missing.map(\.rawValue).joined(separator: ", "))"
        return [DaemonStatus.row("source", DaemonStatus.shown(description) + waiting)]
            + interrupted.map { interruption in
                DaemonStatus.row(
                    "",
                    "\(interruption.kind.rawValue) interrupted \(DaemonStatus.past(interruption.since, now)): "
                        + DaemonStatus.shown(interruption.reason))
            }
    }
}

extension DaemonStatus.Family {
    fileprivate func lines(at now: Date) -> [String] {
        func row(_ label: String, _ text: String) -> String { DaemonStatus.row(label, text, indent: 2) }
        var lines = [family.rawValue]
        lines.append(row("last sync", lastSync?.line(at: now) ?? "none yet"))
        if let pendingChanges {
            lines.append(
                row(
                    "pending",
                    "\(pendingChanges.count.counted("change")), the oldest received "
                        + DaemonStatus.past(pendingChanges.since, now)))
        }
        if let contested {
            let who = contested.by.map { " by \(DaemonStatus.shown($0))" } ?? " by another program"
            lines.append(row("contested", "for \(DaemonStatus.span(now.timeIntervalSince(contested.since)))\(who)"))
        }
        if let lastFailure { lines += lastFailure.lines(at: now) }
        if let retryAt {
            let left = retryAt.timeIntervalSince(now)
            lines.append(row("next attempt", left > 0 ? "in \(DaemonStatus.span(left))" : "now"))
        }
        lines += (refusals ?? []).map { row("refused", DaemonStatus.shown($0)) }
        lines += (leftovers ?? []).map { row("left over", DaemonStatus.shown($0)) }
        if let drainingEndpoints { lines.append(row("draining", drainingEndpoints.counted("endpoint"))) }
        lines.append(row("last check", lastCheck?.line(at: now) ?? "none yet"))
        lines += countLines.map { row($0.label, $0.text) }
        let count = drift.mended.values.reduce(0, &+)
        if count > 0 {
            let kinds = drift.mended.filter { $0.value > 0 }.sorted { $0.key < $1.key }
                .map { "\(DaemonStatus.shown($0.key)) \($0.value)" }
            lines.append(row("mended", "\(count.counted("difference")) (\(kinds.joined(separator: ", ")))"))
        }
        if let last = drift.last {
            lines.append(row("last mended", DaemonStatus.past(last.at, now)))
            lines += last.differences.map { row("", DaemonStatus.shown($0)) }
        }
        return lines
    }
}

extension DaemonStatus.Sync {
    fileprivate func line(at now: Date) -> String {
        "\(DaemonStatus.past(finishedAt, now)), \(kind.rawValue), \(servicePorts.counted("service port")), "
            + "\(batches == 1 ? "1 batch" : "\(batches) batches"), took \(DaemonStatus.span(seconds))"
    }
}

extension DaemonStatus.Failure {
    fileprivate func lines(at now: Date) -> [String] {
        func row(_ label: String, _ text: String) -> String { DaemonStatus.row(label, text, indent: 2) }
        var lines = [row("last failure", "\(DaemonStatus.past(at, now)): \(DaemonStatus.shown(sentence))")]
        if !aftermath.isEmpty { lines.append(row("", DaemonStatus.shown(aftermath))) }
        let width = inputLines.map { String($0.number).count }.max() ?? 0
        for line in inputLines {
            let number = String(line.number)
            let padding = String(repeating: " ", count: width - number.count)
            lines.append(row("", "\(line.isNamed ? ">" : " ") \(padding)\(number) \(DaemonStatus.shown(line.text))"))
        }
        return lines
    }
}

extension DaemonStatus.Check {
    fileprivate func line(at now: Date) -> String {
        "\(DaemonStatus.past(finishedAt, now)), \(findings == 0 ? "no differences" : findings.counted("difference")), "
            + "took \(DaemonStatus.span(seconds))"
    }
}

extension DaemonStatus.Conntrack {
    fileprivate func line(at now: Date) -> String {
        "cleaned \(DaemonStatus.past(lastCleaned, now)), \(deleted) stale removed, took \(DaemonStatus.span(seconds))"
    }
}

extension Int {
    /// `1 change`, `2 changes`.
    fileprivate func counted(_ noun: String) -> String { "\(self) \(noun)\(self == 1 ? "" : "s")" }
}
