package import Foundation

/// What happened inside user-mode Linux.
package struct UserModeLinuxReport: Sendable {
    /// The tests that ended, with those that failed.
    package private(set) var endedTests: [String] = []
    /// What Swift Testing said of each issue that is none that was expected.
    package private(set) var issues: [String] = []
    /// Skipped tests and suites, with the reason.
    package private(set) var skipped: [String] = []
    /// Whether the run came to its end.
    package private(set) var isWhole = false
    /// The exit status of the tests; nil if there was none.
    package let status: Int32?
    /// The folder that the machine had, which is gone; its processes have the path in their command lines.
    package let folder: URL
    /// What the tests printed.
    package let output: String
    /// What the kernel and its first process printed.
    private let console: String
    private let machineStatus: Int32
    private let limit: Int

    /// Reads the files of a machine that has ended.
    ///
    /// - Parameters:
    ///   - machineStatus: its exit status.
    ///   - limit: seconds that it had.
    init(of folder: URL, machineStatus: Int32, limit: Int) {
        func text(_ name: String) -> String {
            (try? Data(contentsOf: folder.appending(path: name))).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        self.init(
            folder: folder, events: text("events"),
            status: Int32(text("status").trimmingCharacters(in: .whitespacesAndNewlines)),
            output: text("output"), console: text("console"), machineStatus: machineStatus, limit: limit)
    }

    /// - Parameter events: the event stream of Swift Testing, version 0: a JSON document on each line.
    package init(
        folder: URL = Command.temporaryDirectory, events: String, status: Int32?, output: String, console: String = "",
        machineStatus: Int32 = 0, limit: Int = 0
    ) {
        self.folder = folder
        self.status = status
        self.output = output
        self.console = console
        self.machineStatus = machineStatus
        self.limit = limit
        var functions: Set<String> = []
        for line in events.split(separator: "\n") {
            guard let record = try? JSONDecoder().decode(Record.self, from: Data(line.utf8)) else { continue }
            let payload = record.payload
            switch (record.kind, payload.kind) {
            case ("test", "function"):
                if let id = payload.id { functions.insert(id) }
            case ("event", "testEnded"):
                if let id = payload.testID, functions.contains(id) { endedTests.append(id) }
            case ("event", "testSkipped"):
                skipped.append(payload.text)
            case ("event", "issueRecorded"):
                if payload.issue?.isKnown != true { issues.append(payload.place + payload.text) }
            case ("event", "runEnded"):
                isWhole = true
            default: break
            }
        }
    }

    /// What is to be recorded as issues of the test that started the machine; empty if all went well.
    package var complaints: [String] {
        var complaints = issues.map { "Inside user-mode Linux: \($0)" }
        complaints += skipped.filter { reason in !Self.allowed.contains { reason.contains("\"\($0)") } }.map {
            "Inside user-mode Linux, where nothing may be: \($0)"
        }
        if !isWhole || status == nil {
            let end = machineStatus == 137 ? "it was ended after \(limit) s" : "its exit status is \(machineStatus)"
            complaints.append(
                "User-mode Linux did not run the tests to their end; \(end). They printed:\n\(Self.end(of: output))\n"
                    + "The console has:\n\(Self.end(of: console))")
        } else if endedTests.isEmpty {
            complaints.append("Nothing ran inside user-mode Linux.")
        } else if complaints.isEmpty, status != 0 {
            complaints.append("The tests ended with \(status ?? 0). They printed:\n\(Self.end(of: output))")
        }
        return complaints
    }

    /// Beginnings of the reasons for which tests may be skipped, as in scripts/test.sh.
    private static let allowed = ["soak", "oracle", "is a part of"]

    private static func end(of text: String) -> String {
        text.split(separator: "\n").suffix(40).joined(separator: "\n")
    }
}

/// A line of the event stream, as far as it is needed.
private struct Record: Decodable {
    var kind: String
    var payload: Payload

    struct Payload: Decodable {
        var kind: String?
        var id: String?
        var testID: String?
        var messages: [Message]?
        var issue: Issue?

        /// `fileID:line: `
        var place: String { issue?.sourceLocation.map { "\($0.fileID):\($0.line): " } ?? "" }
        var text: String { (messages ?? []).map(\.text).joined(separator: "\n  ") }
    }

    struct Message: Decodable {
        var text: String
    }

    struct Issue: Decodable {
        var isKnown: Bool?
        var sourceLocation: Location?
    }

    struct Location: Decodable {
        var fileID: String
        var line: Int
    }
}
