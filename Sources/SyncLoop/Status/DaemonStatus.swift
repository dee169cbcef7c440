public import BatchApplier
public import Foundation
public import ProxyCore

/// What the daemon says of itself: the document that its local socket gives.
///
/// Durations are in seconds. Times are ISO 8601 with milliseconds, in UTC. What is absent has not happened.
public struct DaemonStatus: Codable, Hashable, Sendable {
    /// False if the node's rules may not be what the objects ask for, or cannot be followed up. What the kernel refuses
    /// of one service (`Family.refusals`) leaves the others served, and the node healthy.
    public var healthy = true
    /// Why not, as sentences for an operator, worst first. Empty if healthy.
    public var problems: [String] = []
    public var version: String
    public var mode: ProxyMode
    /// Nil in modes that have no variants.
    public var variant: IPTablesVariant?
    public var nodeName: String
    public var processID: Int32
    public var startedAt: Date
    public var source: Source
    /// One for each family that is served, IPv4 first.
    public var families: [Family] = []
    public var conntrack: Conntrack?
    /// Lines of the log that were lost since the start, because standard error did not take them.
    public var logLinesDropped = 0

    public init(
        version: String, mode: ProxyMode, variant: IPTablesVariant?, nodeName: String,
        processID: Int32 = ProcessInfo.processInfo.processIdentifier, startedAt: Date, source: Source
    ) {
        self.version = version
        self.mode = mode
        self.variant = variant
        self.nodeName = nodeName
        self.processID = processID
        self.startedAt = startedAt
        self.source = source
    }

    /// Where the objects come from.
    public struct Source: Codable, Hashable, Sendable {
        /// Such as `API server https://10.0.0.1:6443` or `manifests in /etc/switchyard`.
        public var description: String
        /// The kinds that have been read in full once.
        public var synced: [ObjectKind] = []
        /// The kinds that cannot be followed at present.
        public var interrupted: [Interruption] = []

        public init(description: String) {
            self.description = description
        }
    }

    public struct Interruption: Codable, Hashable, Sendable {
        public var kind: ObjectKind
        public var since: Date
        public var reason: String

        public init(kind: ObjectKind, since: Date, reason: String) {
            self.kind = kind
            self.since = since
            self.reason = reason
        }
    }

    /// What became of the rules of one family.
    public struct Family: Codable, Hashable, Sendable {
        public var family: IPFamily
        public var lastSync: Sync?
        public var lastFailure: Failure?
        /// Nil if the kernel has everything that was received.
        public var pendingChanges: PendingChanges?
        /// When a failed sync is tried again; nil if none failed since the last success.
        public var retryAt: Date?
        public var lastCheck: Check?
        /// What the kernel does not do though everything around it is in place, a sentence for each; nil if nothing.
        public var refusals: [String]?
        /// How many endpoints that are gone keep the connections they had; nil if none does.
        public var drainingEndpoints: Int?
        /// What other modes have left and could not be removed yet, a sentence for each; nil if nothing.
        public var leftovers: [String]?
        public var drift = Drift()
        /// Nil unless what is mended is undone again and again.
        public var contested: Contest?
        /// What the service ports' counters said when the document was asked for; nil where nothing is counted.
        public var services: [ServiceCount]?

        public init(family: IPFamily) {
            self.family = family
        }
    }

    /// The first packets of the connections to a service port, as long as its counter is in the kernel.
    public struct ServiceCount: Codable, Hashable, Sendable {
        /// `namespace/name:port`, or `namespace/name` where the port has no name.
        public var service: String
        /// TCP, UDP or SCTP.
        public var `protocol`: String
        public var packets: UInt64
        public var bytes: UInt64

        public init(service: String, protocol: String, packets: UInt64, bytes: UInt64) {
            self.service = service
            self.protocol = `protocol`
            self.packets = packets
            self.bytes = bytes
        }
    }

    /// A sync that the kernel acknowledged.
    public struct Sync: Codable, Hashable, Sendable {
        public enum Kind: String, Codable, Hashable, Sendable { case full, partial }

        public var finishedAt: Date
        public var seconds: Double
        public var kind: Kind
        /// The number of service ports that were written.
        public var servicePorts: Int
        /// The number of inputs given to the kernel.
        public var batches: Int

        public init(finishedAt: Date, duration: Duration, kind: Kind, servicePorts: Int, batches: Int) {
            self.finishedAt = finishedAt
            seconds = duration.inSeconds
            self.kind = kind
            self.servicePorts = servicePorts
            self.batches = batches
        }
    }

    public struct Failure: Codable, Hashable, Sendable {
        /// A line of the input, numbered from 1.
        public struct InputLine: Codable, Hashable, Sendable {
            public var number: Int
            public var text: String
            /// True for a line that the program named.
            public var isNamed: Bool

            public init(number: Int, text: String, isNamed: Bool) {
                self.number = number
                self.text = text
                self.isNamed = isNamed
            }
        }

        public var at: Date
        /// What was attempted and what the kernel, or the program, said to it.
        public var sentence: String
        public var inputLines: [InputLine] = []
        /// What the failed attempt has left behind, as a sentence; empty if all is as it was.
        public var aftermath: String

        public init(at: Date, sentence: String, inputLines: [InputLine] = [], aftermath: String = "") {
            self.at = at
            self.sentence = sentence
            self.inputLines = inputLines
            self.aftermath = aftermath
        }
    }

    /// What was received and is not in the kernel yet.
    public struct PendingChanges: Codable, Hashable, Sendable {
        public var count: Int
        /// When the oldest of them was received.
        public var since: Date

        public init(count: Int, since: Date) {
            self.count = count
            self.since = since
        }
    }

    /// A comparison of all rules with those wanted.
    public struct Check: Codable, Hashable, Sendable {
        public var finishedAt: Date
        public var seconds: Double
        public var findings: Int

        public init(finishedAt: Date, duration: Duration, findings: Int) {
            self.finishedAt = finishedAt
            seconds = duration.inSeconds
            self.findings = findings
        }
    }

    /// What others changed in the rules and was mended, since the start.
    public struct Drift: Codable, Hashable, Sendable {
        public struct Incident: Codable, Hashable, Sendable {
            public var at: Date
            /// What differed, each in one line; the first of them where there are many.
            public var differences: [String]

            public init(at: Date, differences: [String]) {
                self.at = at
                self.differences = differences
            }
        }

        /// How many differences were mended, by kind: `missing`, `foreign`, `changed`, `moved`, `table`, `chain`, `jump`.
        public var mended: [String: Int] = [:]
        public var last: Incident?

        public init() {}
    }

    /// Another program writes the same rules.
    public struct Contest: Codable, Hashable, Sendable {
        public var since: Date
        /// The program, where the kernel tells.
        public var by: String?

        public init(since: Date, by: String? = nil) {
            self.since = since
            self.by = by
        }
    }

    /// The last removal of stale connection tracking entries.
    public struct Conntrack: Codable, Hashable, Sendable {
        public var lastCleaned: Date
        public var deleted: Int
        public var seconds: Double
        /// Why entries could not be removed, as a sentence.
        public var failure: String?

        public init(lastCleaned: Date, deleted: Int, duration: Duration, failure: String? = nil) {
            self.lastCleaned = lastCleaned
            self.deleted = deleted
            seconds = duration.inSeconds
            self.failure = failure
        }
    }
}

// The raw values stand in the document.
extension IPFamily: Codable {}
extension IPTablesVariant: Codable {}
extension ObjectKind: Codable {}
extension ProxyMode: Codable {}

extension DaemonStatus {
    private static let timeFormat = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

    /// The document, which ends with a line end.
    package func document() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(date.formatted(Self.timeFormat))
        }
        return try [UInt8](encoder.encode(self)) + [UInt8(ascii: "\n")]
    }

    /// Reads a document.
    package init(document: [UInt8]) throws {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            try Self.timeFormat.parse(decoder.singleValueContainer().decode(String.self))
        }
        self = try decoder.decode(Self.self, from: Data(document))
    }
}

extension Duration {
    fileprivate var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
