/// Which objects a request asks for, by labels and fields.
struct ObjectSelector: Sendable {
    private enum Condition: Sendable {
        case label(String, is: String?)
        case labelNot(String, String)
        case hasLabel(String)
        case field([String], is: String)
        case fieldNot([String], String)
    }

    private var conditions: [Condition] = []

    var isEmpty: Bool { conditions.isEmpty }

    /// Reads the two selectors of a query. Throws a refusal for a form that this server does not know.
    init(labels: String, fields: String, of resource: APIResource) throws(Refusal) {
        for part in labels.split(separator: ",") {
            let part = part.trimmingPrefix { $0 == " " }
            if part.hasPrefix("!") {
                conditions.append(.label(String(part.dropFirst()), is: nil))
            } else if let (name, value, isEqual) = Self.comparison(part) {
                conditions.append(isEqual ? .label(name, is: value) : .labelNot(name, value))
            } else if part.contains(where: { " ()<>".contains($0) }) {
                throw .badRequest("unable to parse requirement: \(part)")
            } else {
                conditions.append(.hasLabel(String(part)))
            }
        }
        for part in fields.split(separator: ",") {
            guard let (name, value, isEqual) = Self.comparison(part) else {
                throw .badRequest("invalid selector: '\(fields)'; can't understand '\(part)'")
            }
            guard Self.fields(of: resource).contains(name) else {
                throw .badRequest("field label not supported: \(name)")
            }
            let path = name.split(separator: ".").map(String.init)
            conditions.append(isEqual ? .field(path, is: value) : .fieldNot(path, value))
        }
    }

    func matches(_ object: StoredObject) -> Bool {
        conditions.allSatisfy { condition in
            switch condition {
            case .label(let name, let value): object.labels[name] == value
            case .labelNot(let name, let value): object.labels[name] != value
            case .hasLabel(let name): object.labels[name] != nil
            case .field(let path, let value): Self.field(path, of: object) == value
            case .fieldNot(let path, let value): Self.field(path, of: object) != value
            }
        }
    }

    /// A field that is not there counts as empty, as in Go.
    private static func field(_ path: [String], of object: StoredObject) -> String {
        path.reduce(object.value) { $0[$1] }.string ?? ""
    }

    private static func fields(of resource: APIResource) -> Set<String> {
        let general: Set = ["metadata.name", "metadata.namespace"]
        return resource == .services ? general.union(["spec.clusterIP", "spec.type"]) : general
    }

    private static func comparison(_ text: Substring) -> (name: String, value: String, isEqual: Bool)? {
        guard let sign = text.firstIndex(of: "=") else { return nil }
        var name = text[..<sign]
        var value = text[text.index(after: sign)...]
        let isEqual = name.last != "!"
        if !isEqual { name = name.dropLast() }
        if value.first == "=" { value = value.dropFirst() }
        return (String(name), String(value), isEqual)
    }
}
