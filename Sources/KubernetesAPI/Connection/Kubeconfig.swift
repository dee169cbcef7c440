import ProxyCore

/// A kubeconfig file, decoded: its entries as they are written, and every ill-typed or unknown field.
///
/// Read are `current-context`, `contexts[].context.cluster` and `.user`, and of `clusters[].cluster` and
/// `users[].user` the fields of `Cluster` and `User`. `preferences`, `extensions` and `namespace` are passed over.
struct Kubeconfig: Decodable, Sendable {
    struct Context: Sendable {
        var cluster: String?
        var user: String?
    }

    struct Cluster: Sendable {
        var server: String?
        var serverName: String?
        var skipsVerification = false
        var authorityFile: String?
        var authorityData: String?
        var proxyURL: String?
    }

    struct User: Sendable {
        var certificateFile: String?
        var certificateData: String?
        var keyFile: String?
        var keyData: String?
        var token: String?
        var tokenFile: String?
        var userName: String?
        var password: String?
        var exec: Exec?
        /// Fields that ask for what is not supported.
        var refused: [String] = []
    }

    struct Exec: Sendable {
        var command: String?
        var arguments: [String] = []
        var environment: [(name: String?, value: String?)] = []
        var apiVersion: String?
        var interactiveMode: String?
        var providesClusterInfo = false
    }

    /// An entry of one of the lists, with its place in it.
    struct Entry<Value: Sendable>: Sendable {
        var index: Int
        var name: String?
        var value: Value?
    }

    private(set) var currentContext: String?
    private(set) var contexts: [Entry<Context>] = []
    private(set) var clusters: [Entry<Cluster>] = []
    private(set) var users: [Entry<User>] = []
    private(set) var faults: [InputFault] = []

    init(from decoder: any Decoder) throws {
        var reader = FieldReader(try decoder.container(keyedBy: AnyKey.self))
        if let kind = reader.read("kind", as: String.self), kind != "Config" {
            reader.report("kind", kind, "is not Config")
        }
        if let version = reader.read("apiVersion", as: String.self), version != "v1" {
            reader.report("apiVersion", version, "is not v1")
        }
        reader.ignore("preferences", "extensions")
        currentContext = reader.read("current-context", as: String.self)
        contexts = Self.entries("contexts", "context", &reader) { reader in
            reader.ignore("namespace", "extensions")
            return Context(cluster: reader.text("cluster"), user: reader.text("user"))
        }
        clusters = Self.entries("clusters", "cluster", &reader, Self.cluster)
        users = Self.entries("users", "user", &reader, Self.user)
        faults = reader.finish().map(Self.hidingSecret)
    }

    private static func entries<Value>(
        _ list: String, _ field: String, _ reader: inout FieldReader, _ read: (inout FieldReader) -> Value
    ) -> [Entry<Value>] {
        var entries: [Entry<Value>] = []
        reader.readObjects(list) { reader, index in
            var value: Value?
            let name = reader.text("name")
            reader.readObject(field) { value = read(&$0) }
            entries.append(Entry(index: index, name: name, value: value))
        }
        return entries
    }

    private static func cluster(_ reader: inout FieldReader) -> Cluster {
        reader.ignore("disable-compression", "extensions")
        return Cluster(
            server: reader.text("server"), serverName: reader.text("tls-server-name"),
            skipsVerification: reader.read("insecure-skip-tls-verify", as: Bool.self) ?? false,
            authorityFile: reader.text("certificate-authority"),
            authorityData: reader.text("certificate-authority-data"), proxyURL: reader.text("proxy-url"))
    }

    private static func user(_ reader: inout FieldReader) -> User {
        reader.ignore("extensions")
        var user = User(
            certificateFile: reader.text("client-certificate"),
            certificateData: reader.text("client-certificate-data"), keyFile: reader.text("client-key"),
            keyData: reader.text("client-key-data"), token: reader.text("token"), tokenFile: reader.text("tokenFile"),
            userName: reader.text("username"), password: reader.text("password"))
        user.refused = ["auth-provider", "as", "as-uid", "as-groups", "as-user-extra"].filter { reader.contains($0) }
        reader.readObject("exec") { user.exec = exec(&$0) }
        return user
    }

    private static func exec(_ reader: inout FieldReader) -> Exec {
        reader.ignore("installHint")
        var exec = Exec(
            command: reader.text("command"), arguments: reader.read("args", as: [String].self) ?? [],
            apiVersion: reader.text("apiVersion"), interactiveMode: reader.text("interactiveMode"),
            providesClusterInfo: reader.read("provideClusterInfo", as: Bool.self) ?? false)
        reader.readObjects("env") { reader, _ in
            exec.environment.append((reader.text("name"), reader.read("value", as: String.self)))
        }
        return exec
    }

    /// A fault without the value, if that may be a secret: a mistyped token is a token.
    private static func hidingSecret(_ fault: InputFault) -> InputFault {
        let secrets: Set<InputFault.PathStep> = ["token", "password", "client-key-data", "env", "args"]
        var fault = fault
        if !secrets.isDisjoint(with: fault.path) { fault.value = .none }
        return fault
    }
}

extension FieldReader {
    /// Reads a text; an empty one counts as missing, as client-go has it.
    fileprivate mutating func text(_ key: String) -> String? {
        read(key, as: String.self).flatMap { $0.isEmpty ? nil : $0 }
    }
}
