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

    /// Waits in waitpid: meant for commands that end at once. `Process` of Foundation is not used, as its
    /// `waitUntilExit` turns a run loop and can miss the end when several threads wait.
    public static func run(
        _ command: [String], input: String = "", environment: [String: String] = [:]
    ) throws -> Result {
        // Files rather than pipes, so that no side can block the other.
        let files = try (0..<3).map { _ in try FileHandle.temporary() }
        try files[0].write(contentsOf: Data(input.utf8))
        try files[0].seek(toOffset: 0)
        let pid = try spawn(command, files.map(\.fileDescriptor), environment)
        let status = wait(for: pid)
        let texts = try files[1...].map { file in
            try file.seek(toOffset: 0)
            return String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
        }
        return Result(status: status, output: texts[0], errors: texts[1])
    }

    /// Starts a command in a process group of its own, with these standard input, output and error.
    fileprivate static func spawn(
        _ command: [String], _ descriptors: [Int32], _ environment: [String: String]
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var arguments = command.map { strdup($0) } + [nil]
        var environment = variables.map { strdup($0) } + [nil]
        defer { (arguments + environment).forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, command[0], &actions, &attributes, &arguments, &environment)
        guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EINVAL) }
        return pid
    }

    /// The exit status, or 128 and the number of the signal.
    fileprivate static func wait(for pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
    }
}

/// A command that runs beside the test and is ended, with all that it started, when the last reference to it goes.
public final class RunningCommand: Sendable {
    public let pid: Int32
    private let isOver = Mutex(false)

    public init(_ command: [String], environment: [String: String] = [:]) throws {
        let null = try FileHandle(forUpdating: URL(fileURLWithPath: "/dev/null"))
        pid = try Command.spawn(command, [Int32](repeating: null.fileDescriptor, count: 3), environment)
    }

    /// Ends it and waits until it is gone.
    public func stop() {
        end { kill(-pid, SIGKILL) }
    }

    public func waitUntilExit() {
        end {}
    }

    private func end(_ act: () -> Void) {
        isOver.withLock { isOver in
            guard !isOver else { return }
            act()
            _ = Command.wait(for: pid)
            isOver = true
        }
    }

    deinit { stop() }
}

public struct CommandFailure: Error, CustomStringConvertible {
    public let command: [String]
    public let result: Command.Result
    public var description: String {
        "\(command.joined(separator: " ")) ended with \(result.status): \(result.errors)\(result.output)"
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
