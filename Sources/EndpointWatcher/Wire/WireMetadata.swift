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

        package init() {}

        /// The labels that are read out of all those of an object.
        package init(_ labels: [String: String]) {
            service = Lenient(labels[CodingKeys.service.rawValue])
            proxy = Lenient(labels[CodingKeys.proxy.rawValue])
            headless = Lenient(labels[CodingKeys.headless.rawValue])
            zone = Lenient(labels[CodingKeys.zone.rawValue])
        }
    }

    /// The annotations that are read, all of them a server's own.
    package struct Annotations: Decodable, Sendable {
        enum CodingKeys: String, CodingKey {
            case initialEventsEnd = "k8s.io/initial-events-end"
        }

        var initialEventsEnd: Lenient<String> = .missing

        package init() {}

        /// The annotations that are read out of all those of an object.
        package init(_ annotations: [String: String]) {
            initialEventsEnd = Lenient(annotations[CodingKeys.initialEventsEnd.rawValue])
        }
    }

    package var name: Lenient<String> = .missing
    package var namespace: Lenient<String> = .missing
    package var labels: Lenient<Labels> = .missing
    package var resourceVersion: Lenient<String> = .missing
    package var annotations: Lenient<Annotations> = .missing

    package init() {}

    /// The version, empty if there is none.
    package var version: String { if case .value(let text) = resourceVersion { text } else { "" } }

    /// True for the bookmark after the last object of a streaming list.
    package var endsInitialEvents: Bool {
        guard case .value(let annotations) = annotations, case .value("true") = annotations.initialEventsEnd
        else { return false }
        return true
    }

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
