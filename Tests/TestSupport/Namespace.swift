import Foundation
import Synchronization

/// A network namespace of a test's own, deleted with the last reference to it.
///
/// Processes are started in it by `ip netns exec`; the test's own process stays where it is, as its tasks change
/// threads and a namespace belongs to a thread.
public final class Namespace: Sendable {
    public let name: String
    private static let count = Atomic<Int>(0)

    public init() throws {
        let number = Self.count.add(1, ordering: .relaxed).newValue
        name = "switchyard-\(ProcessInfo.processInfo.processIdentifier)-\(number)"
        let result = try Command.run(["ip", "netns", "add", name])
        guard result.status == 0 else { throw CommandFailure(command: ["ip", "netns", "add", name], result: result) }
    }

    deinit {
        _ = try? Command.run(["ip", "netns", "delete", name])
    }

    /// What goes before a command to run it in this namespace.
    public var commandPrefix: [String] { ["ip", "netns", "exec", name] }

    /// Runs a command to its end.
    @discardableResult
    public func run(
        _ command: [String], input: String = "", environment: [String: String] = [:]
    ) throws -> Command.Result {
        try Command.run(commandPrefix + command, input: input, environment: environment)
    }

    /// Runs a command whose failure is the test's, and returns what it printed.
    @discardableResult
    public func require(
        _ command: [String], input: String = "", environment: [String: String] = [:]
    ) throws -> String {
        let result = try run(command, input: input, environment: environment)
        guard result.status == 0 else { throw CommandFailure(command: command, result: result) }
        return result.output
    }

    /// Starts a command that runs beside the test.
    public func start(_ command: [String], environment: [String: String] = [:]) throws -> RunningCommand {
        try RunningCommand(commandPrefix + command, environment: environment)
    }
}

/// Runs commands to their end.
public enum Command {
    public struct Result: Sendable {
        public let status: Int32
        public let output: String
        public let errors: String
    }

    public static func run(
        _ command: [String], input: String = "", environment: [String: String] = [:]
    ) throws -> Result {
        let process = Process(command, environment)
        // Files rather than pipes, so that no side can block the other.
        let files = try (0..<3).map { _ in try FileHandle.temporary() }
        try files[0].write(contentsOf: Data(input.utf8))
        try files[0].seek(toOffset: 0)
        process.standardInput = files[0]
        process.standardOutput = files[1]
        process.standardError = files[2]
        try process.run()
        process.waitUntilExit()
        let texts = try files[1...].map { file in
            try file.seek(toOffset: 0)
            return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
        }
        return Result(status: process.terminationStatus, output: texts[0], errors: texts[1])
    }
}

/// A command that runs beside the test and is ended with it.
public final class RunningCommand: @unchecked Sendable {
    // Set up before anyone else sees it; afterwards only asked for its identifier and told to end, both of which
    // Process does under its own lock.
    private let process: Process

    public init(_ command: [String], environment: [String: String] = [:]) throws {
        process = Process(command, environment)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    public var pid: Int32 { process.processIdentifier }

    /// Ends it and waits until it is gone.
    public func stop() {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
    }

    public func waitUntilExit() { process.waitUntilExit() }

    deinit { stop() }
}

public struct CommandFailure: Error, CustomStringConvertible {
    public let command: [String]
    public let result: Command.Result
    public var description: String {
        "\(command.joined(separator: " ")) ended with \(result.status): \(result.errors)\(result.output)"
    }
}

extension Process {
    fileprivate convenience init(_ command: [String], _ environment: [String: String]) {
        self.init()
        executableURL = URL(fileURLWithPath: "/usr/bin/env")
        arguments = command
        self.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    }
}

extension FileHandle {
    /// A file without a name.
    fileprivate static func temporary() throws -> FileHandle {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        guard FileManager.default.createFile(atPath: url.path, contents: nil) else {
            throw CocoaError(.fileWriteUnknown)
        }
        defer { try? FileManager.default.removeItem(at: url) }
        return try FileHandle(forUpdating: url)
    }
}

/// What tests in namespaces need.
public enum KernelNeeds {
    /// What this machine lacks for tests in namespaces that use these programs, or nil.
    public static func missing(_ programs: [String]) -> String? {
        guard geteuid() == 0 else { return "root" }
        let directories = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        let absent = (["ip"] + programs).first { program in
            !(directories + ["/usr/sbin", "/sbin"]).contains { access("\($0)/\(program)", X_OK) == 0 }
        }
        if let absent { return "the program \(absent)" }
        do {
            _ = try Namespace()
            return nil
        } catch {
            return "network namespaces (\(error))"
        }
    }
}
