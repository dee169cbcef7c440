import Yams

/// What a scalar is, by the rules that Kubernetes reads YAML with: YAML 1.1 without sexagesimal numbers and dates.
enum YAMLScalar: Equatable {
    case null
    case bool(Bool)
    /// As JSON spells the number.
    case number(String)
    case text

    init(_ scalar: Node.Scalar) {
        guard scalar.style == .plain else {
            self = .text
            return
        }
        switch scalar.tag.description {
        case "", "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float":
            self.init(plain: scalar.string)
        default: self = .text
        }
    }

    /// Resolves a scalar without quotes.
    init(plain text: String) {
        self = .text
        guard let first = text.utf8.first else {
            self = .null
            return
        }
        switch first {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."):
            if let number = Self.number(text) { self = .number(number) }
        default:
            guard text.utf8.count <= 5 else { return }
            switch text {
            case "~", "null", "Null", "NULL": self = .null
            case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y": self = .bool(true)
            case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N": self = .bool(false)
            default: break
            }
        }
    }

    private static func number(_ text: String) -> String? {
        let plain = text.utf8.contains(UInt8(ascii: "_")) ? text.filter { $0 != "_" } : text
        var digits = Substring(plain)
        let isNegative = digits.first == "-"
        if isNegative || digits.first == "+" { digits.removeFirst() }
        guard let first = digits.utf8.first, first == UInt8(ascii: ".") || (48...57).contains(first) else { return nil }
        if let magnitude = integer(digits) {
            // Beyond 64 bits it is a float, as Go has it.
            return isNegative ? (magnitude == 0 ? "0" : "-\(magnitude)") : String(magnitude)
        }
        guard isDecimal(digits), let value = Double(plain), value.isFinite else { return nil }
        return value.description
    }

    private static func integer(_ digits: Substring) -> UInt64? {
        guard digits.utf8.count > 1, digits.utf8.first == UInt8(ascii: "0") else {
            return digits.utf8.allSatisfy { (48...57).contains($0) } ? UInt64(digits) : nil
        }
        let rest = digits.dropFirst(2)
        let (radix, body): (Int, Substring) =
            switch digits.dropFirst().first {
            case "x", "X": (16, rest)
            case "b", "B": (2, rest)
            case "o", "O": (8, rest)
            default: (8, digits.dropFirst())
            }
        return body.first.map { $0.isHexDigit } == true ? UInt64(body, radix: radix) : nil
    }

    /// True for digits with at most one point and at most one exponent: what Go reads as a float in YAML.
    private static func isDecimal(_ text: Substring) -> Bool {
        var digits = 0
        var hasPoint = false
        var rest = text.utf8[...]
        while let byte = rest.first {
            if (48...57).contains(byte) {
                digits += 1
            } else if byte == UInt8(ascii: "."), !hasPoint {
                hasPoint = true
            } else {
                break
            }
            rest.removeFirst()
        }
        guard digits > 0 else { return false }
        guard let exponent = rest.first else { return true }
        guard exponent | 32 == UInt8(ascii: "e") else { return false }
        rest.removeFirst()
        if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest.removeFirst() }
        return !rest.isEmpty && rest.allSatisfy { (48...57).contains($0) }
    }
}
