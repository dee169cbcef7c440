extension Duration {
    /// Reads a duration as Go writes and reads it: `30s`, `1h0m0s`, `500ms`, `-1.5h`, `0`.
    ///
    /// Nil for anything else, and beyond 2^63 nanoseconds. Digits below a nanosecond are dropped.
    package init?(goDuration text: String) {
        var rest = Substring(text)
        var isNegative = false
        if let sign = rest.first, sign == "-" || sign == "+" {
            isNegative = sign == "-"
            rest.removeFirst()
        }
        if rest == "0" {
            self = .zero
            return
        }
        guard !rest.isEmpty else { return nil }
        var total: Int64 = 0
        while !rest.isEmpty {
            guard let term = Self.takeTerm(&rest) else { return nil }
            let (sum, overflow) = total.addingReportingOverflow(term)
            guard !overflow else { return nil }
            total = sum
        }
        self = .nanoseconds(isNegative ? -total : total)
    }

    /// Takes one number with its unit off the text, in nanoseconds.
    private static func takeTerm(_ text: inout Substring) -> Int64? {
        let isDigit = { (character: Character) in character.isASCII && character.isNumber }
        let whole = text.prefix(while: isDigit)
        text.removeFirst(whole.count)
        var fraction: Substring = ""
        if text.first == "." {
            text.removeFirst()
            fraction = text.prefix(while: isDigit)
            text.removeFirst(fraction.count)
        }
        let unit = text.prefix { !isDigit($0) && $0 != "." }
        text.removeFirst(unit.count)
        guard !whole.isEmpty || !fraction.isEmpty, let scale = scale(of: unit),
            let count = whole.isEmpty ? 0 : Int64(whole)
        else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: scale)
        guard !overflow else { return nil }
        var part: Int64 = 0
        var digitScale = scale
        for digit in fraction {
            // Exact for every digit that matters: the units are multiples of powers of ten, but for 60 and 3600.
            part += Int64(digit.wholeNumberValue ?? 0) * digitScale / 10
            digitScale /= 10
            if digitScale == 0 { break }
        }
        let (sum, sumOverflow) = product.addingReportingOverflow(part)
        return sumOverflow ? nil : sum
    }

    private static func scale(of unit: Substring) -> Int64? {
        switch unit {
        case "ns": 1
        case "us", "\u{b5}s", "\u{3bc}s": 1_000
        case "ms": 1_000_000
        case "s": 1_000_000_000
        case "m": 60_000_000_000
        case "h": 3_600_000_000_000
        default: nil
        }
    }

    /// The duration as Go writes it, to the millisecond: `1h0m0s`, `1.5s`, `500ms`.
    package var goDescription: String {
        let milliseconds = components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
        let sign = milliseconds < 0 ? "-" : ""
        let rest = milliseconds.magnitude
        if rest > 0, rest < 1000 { return "\(sign)\(rest)ms" }
        var fraction = rest % 1000 == 0 ? "" : ".\(String(rest % 1000 + 1000).dropFirst())"
        while fraction.hasSuffix("0") { fraction.removeLast() }
        let seconds = rest / 1000
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60)
        let prefix = hours > 0 ? "\(hours)h\(minutes)m" : minutes > 0 ? "\(minutes)m" : ""
        return "\(sign)\(prefix)\(seconds % 60)\(fraction)s"
    }
}
