/// Reads the fields of one object of a configuration, and keeps every fault instead of stopping at the first.
package struct FieldReader {
    private let container: KeyedDecodingContainer<AnyKey>
    private var known: Set<String> = []
    package private(set) var faults: [InputFault] = []

    package init(_ container: KeyedDecodingContainer<AnyKey>) {
        self.container = container
    }

    /// Reads a field into a variable, which keeps its value if the field is missing, null or ill-typed.
    package mutating func read<Value: Decodable>(_ key: String, into variable: inout Value) {
        if let value = read(key, as: Value.self) { variable = value }
    }

    /// Reads a field; nil if it is missing, null or ill-typed.
    package mutating func read<Value: Decodable>(_ key: String, as type: Value.Type) -> Value? {
        known.insert(key)
        do {
            return try container.decodeIfPresent(type, forKey: AnyKey(key))
        } catch {
            let fault = TypeFault(error, path: path(key), decoding: type)
            faults.append(InputFault(.error, fault.path, "is not \(fault.expected)"))
            return nil
        }
    }

    /// Reads a field that is a text with a form of its own; an empty text counts as missing.
    package mutating func read<Value>(
        _ key: String, into variable: inout Value, expected: String, _ parse: (String) -> Value?
    ) {
        guard let text = read(key, as: String.self), !text.isEmpty else { return }
        if let value = parse(text) {
            variable = value
        } else {
            report(key, text, "is not \(expected)")
        }
    }

    /// Reads a duration. Where `zeroIsUnset`, zero leaves the default, as kube-proxy has it.
    package mutating func readDuration(_ key: String, into variable: inout Duration, zeroIsUnset: Bool = false) {
        guard let text = read(key, as: String.self) else { return }
        guard let value = Duration(goDuration: text) else {
            report(key, text, "is not a duration such as 30s or 1h0m0s")
            return
        }
        if value != .zero || !zeroIsUnset { variable = value }
    }

    /// Reads a list of ranges; those that do not parse are reported.
    package mutating func readCIDRs(_ key: String) -> [CIDR] {
        var cidrs: [CIDR] = []
        for (index, text) in (read(key, as: [String].self) ?? []).enumerated() {
            if let cidr = CIDR(text) {
                cidrs.append(cidr)
            } else {
                report(key, index: index, text, "is not a CIDR")
            }
        }
        return cidrs
    }

    /// Reads the fields of a nested object.
    package mutating func readObject(_ key: String, _ read: (inout FieldReader) -> Void) {
        known.insert(key)
        guard container.contains(AnyKey(key)) else { return }
        do {
            guard try !container.decodeNil(forKey: AnyKey(key)) else { return }
            var reader = FieldReader(try container.nestedContainer(keyedBy: AnyKey.self, forKey: AnyKey(key)))
            read(&reader)
            faults += reader.finish()
        } catch {
            let fault = TypeFault(error, path: path(key), decoding: [String: String].self)
            faults.append(InputFault(.error, fault.path, "is not \(fault.expected)"))
        }
    }

    /// Reads the fields of each object of a list; the closure is told the object's index.
    package mutating func readObjects(_ key: String, _ read: (inout FieldReader, Int) -> Void) {
        guard contains(key) else { return }
        do {
            var list = try container.nestedUnkeyedContainer(forKey: AnyKey(key))
            while !list.isAtEnd {
                // The decoder of an item moves on even where the item is no object.
                let index = list.currentIndex
                let item = try list.superDecoder()
                do {
                    var reader = FieldReader(try item.container(keyedBy: AnyKey.self))
                    read(&reader, index)
                    faults += reader.finish()
                } catch {
                    let fault = TypeFault(error, path: item.codingPath, decoding: [String: String].self)
                    faults.append(InputFault(.error, fault.path, "is not \(fault.expected)"))
                }
            }
        } catch {
            let fault = TypeFault(error, path: path(key), decoding: [String].self)
            faults.append(InputFault(.error, fault.path, "is not \(fault.expected)"))
        }
    }

    /// Whether a field is there and not null; it counts as known.
    package mutating func contains(_ key: String) -> Bool {
        known.insert(key)
        return container.contains(AnyKey(key)) && (try? container.decodeNil(forKey: AnyKey(key))) == false
    }

    /// Bears fields that are known and read by no one.
    package mutating func ignore(_ keys: String...) {
        known.formUnion(keys)
    }

    package mutating func report(
        _ key: String, index: Int? = nil, _ value: String?, _ sentence: String,
        severity: Diagnostic.Severity = .error
    ) {
        let steps = container.codingPath.map(InputFault.PathStep.init) + [.key(key)]
        let value = value.map { InputFault.Value.text("\"\($0.printable())\"") } ?? .none
        faults.append(InputFault(severity, steps + (index.map { [.index($0)] } ?? []), sentence, value: value))
    }

    /// Reports the fields that nobody asked for, and returns every fault.
    package mutating func finish() -> [InputFault] {
        for key in container.allKeys.map(\.stringValue).sorted() where !known.contains(key) {
            report(key, nil, "is not a known field; it is ignored", severity: .warning)
        }
        return faults
    }

    private func path(_ key: String) -> [any CodingKey] { container.codingPath + [AnyKey(key)] }
}

/// A key of an object, whatever it is.
package struct AnyKey: CodingKey {
    package let stringValue: String
    package let intValue: Int?

    package init(_ key: String) {
        stringValue = key
        intValue = nil
    }

    package init?(stringValue: String) { self.init(stringValue) }

    package init?(intValue: Int) {
        stringValue = String(intValue)
        self.intValue = intValue
    }
}
