import ProxyCore

/// The fields of `metadata` that are read, in any kind of object.
package struct WireMetadata: Decodable, Sendable {
    /// The labels that are read; the values of all others do not matter.
    package struct Labels: Decodable, Sendable {
        enum CodingKeys: String, CodingKey {
            case service = "kubernetes.io/service-name"
            case proxy = "service.kubernetes.io/service-proxy-name"
            case headless = "service.kubernetes.io/headless"
            case zone = "topology.kubernetes.io/zone"
        }

        var service: Lenient<String> = .missing
        var proxy: Lenient<String> = .missing
        var headless: Lenient<String> = .missing
        var zone: Lenient<String> = .missing
    }

    var name: Lenient<String> = .missing
    var namespace: Lenient<String> = .missing
    var labels: Lenient<Labels> = .missing

    /// Names the object in messages: `default/web`; nil without a name.
    func subject(isNamespaced: Bool) -> String? {
        guard case .value(let name) = name, !name.isEmpty else { return nil }
        guard isNamespaced else { return name.printable() }
        let namespace = if case .value(let text) = namespace, !text.isEmpty { text } else { "default" }
        return "\(namespace.printable())/\(name.printable())"
    }

    /// The name of an object in a namespace, which is `default` if it is missing.
    ///
    /// A namespace has 63 characters at most, as has the name of a Service: longer ones would not fit the kernel's
    /// comments either.
    func objectName(limit: Int, _ faults: inout [InputFault], else consequence: String) -> ObjectName? {
        guard let namespace = namespace.get(or: "default", &faults, else: consequence),
            let name = name.get(or: "", &faults, else: consequence)
        else { return nil }
        guard !name.isEmpty else {
            faults.append(InputFault(.warning, ["metadata"], "has no name; \(consequence)", value: .none))
            return nil
        }
        let parts = [("namespace", namespace.isEmpty ? "default" : namespace, 63), ("name", name, limit)]
        for (key, text, limit) in parts where !ObjectName.isValid(text, limit: limit) {
            faults.append(
                InputFault(
                    .warning, ["metadata", .key(key)],
                    "is not 1 to \(limit) letters, digits, hyphens, dots and underscores; \(consequence)",
                    value: .text("\"\(text.printable())\"")))
            return nil
        }
        return ObjectName(namespace: namespace.isEmpty ? "default" : namespace, name: name)
    }

    /// The name of a Node or ServiceCIDR; a fault refuses the input.
    func clusterName(_ faults: inout [InputFault]) -> String? {
        guard let name = name.get(or: "", &faults, severity: .error) else { return nil }
        guard !name.isEmpty else {
            faults.append(InputFault(.error, ["metadata"], "has no name", value: .none))
            return nil
        }
        guard ObjectName.isValid(name) else {
            faults.append(
                InputFault(
                    .error, ["metadata", "name"], "is not 1 to 253 letters, digits, hyphens, dots and underscores",
                    value: .text("\"\(name.printable())\"")))
            return nil
        }
        return name
    }
}
