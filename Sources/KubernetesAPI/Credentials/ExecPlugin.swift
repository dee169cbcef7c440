/// A program that prints credentials as an ExecCredential (client.authentication.k8s.io).
public struct ExecPlugin: Hashable, Sendable {
    public enum Version: String, CaseIterable, Sendable {
        case v1 = "client.authentication.k8s.io/v1"
        case v1beta1 = "client.authentication.k8s.io/v1beta1"
    }

    public struct Variable: Hashable, Sendable {
        public var name: String
        public var value: Secret

        public init(name: String, value: Secret) {
            self.name = name
            self.value = value
        }
    }

    /// A path, or a name that is looked for in PATH.
    public var command: String
    public var arguments: [String]
    /// Goes over the environment of this process.
    public var environment: [Variable]
    public var version: Version
    /// What the program is told about the server that the credentials are for; nil to tell nothing.
    public var cluster: ClusterInfo?

    public init(
        command: String, arguments: [String] = [], environment: [Variable] = [], version: Version = .v1,
        cluster: ClusterInfo? = nil
    ) {
        self.command = command
        self.arguments = arguments
        self.environment = environment
        self.version = version
        self.cluster = cluster
    }

    /// `spec.cluster` of the ExecCredential that the program gets in KUBERNETES_EXEC_INFO. Its field `config`, taken
    /// from an extension of the cluster, is not given.
    public struct ClusterInfo: Hashable, Sendable {
        public var server: String
        public var serverName: String?
        public var isVerified: Bool
        /// PEM.
        public var authority: PEMSource?

        public init(server: String, serverName: String? = nil, isVerified: Bool = true, authority: PEMSource? = nil) {
            self.server = server
            self.serverName = serverName
            self.isVerified = isVerified
            self.authority = authority
        }
    }
}
