package import ProxyCore

/// A field that may be of the wrong type, which costs that field and not the object it is in.
package enum Lenient<Value: Sendable>: Sendable {
    /// Not there, or null.
    case missing
    case value(Value)
    case wrong(TypeFault)

    /// The value, or `fallback` if it is missing; nil if it is wrong, which is reported.
    func get(
        or fallback: @autoclosure () -> Value?, _ faults: inout [InputFault],
        severity: Diagnostic.Severity = .warning, else consequence: String = ""
    ) -> Value? {
        switch self {
        case .missing: return fallback()
        case .value(let value): return value
        case .wrong(let fault):
            let end = consequence.isEmpty ? "" : "; \(consequence)"
            faults.append(InputFault(severity, fault.path, "is not \(fault.expected)\(end)"))
            return nil
        }
    }

    /// A value that may not be there.
    package init(_ value: Value?) {
        self = value.map { .value($0) } ?? .missing
    }

    var isMissing: Bool {
        if case .missing = self { true } else { false }
    }
}

extension Lenient: Decodable where Value: Decodable {
    package init(from decoder: any Decoder) throws {
        do {
            let container = try decoder.singleValueContainer()
            self = container.decodeNil() ? .missing : .value(try container.decode(Value.self))
        } catch {
            self = .wrong(TypeFault(error, path: decoder.codingPath, decoding: Value.self))
        }
    }
}

extension KeyedDecodingContainer {
    /// Called by the synthesized `init(from:)` of the wire types, which would refuse a missing key otherwise.
    func decode<Value: Decodable>(_ type: Lenient<Value>.Type, forKey key: Key) throws -> Lenient<Value> {
        do {
            return try decodeIfPresent(Value.self, forKey: key).map { .value($0) } ?? .missing
        } catch {
            return .wrong(TypeFault(error, path: codingPath + [key], decoding: Value.self))
        }
    }
}

/// A whole number, with an error that tells its place if it is none: decoders do not always.
package struct WireNumber: Decodable, Sendable {
    package var value: Int

    package init(_ value: Int) {
        self.value = value
    }

    package init(from decoder: any Decoder) throws {
        do {
            value = try decoder.singleValueContainer().decode(Int.self)
        } catch {
            throw DecodingError.typeMismatch(
                Int.self, .init(codingPath: decoder.codingPath, debugDescription: "", underlyingError: error))
        }
    }
}
