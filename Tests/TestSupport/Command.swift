package import Foundation
import Synchronization

/// Runs commands.
///
/// `Process` of Foundation is not used, as its `waitUntilExit` turns a run loop and can miss the end when several
/// threads wait.
public enum Command {
    public struct Result: Sendable {
        /// The exit status, or 128 and the number of the signal.
        public let status: Int32
        public let output: String
        public let errors: String
    }

    /// Runs a command to its end, waiting in waitpid: meant for commands that end at once.
    ///
    /// Input and output are files, so no side can block the other.
    public static func run(
        _ command: [String], input: String = "", environment: [String: String] = [:]
    ) throws -> Result {
        try begin(command, input: input, environment: environment).end()
    }

    /// Runs commands beside each other, each to its end.
    package static func runAll(_ commands: [[String]]) throws -> [Result] {
        let runs = try commands.map { try begin($0) }
        return runs.map { $0.end() }
    }

    private static func begin(
        _ command: [String], input: String = "", environment: [String: String] = [:]
    ) throws -> Run {
        let run = Run(files: try [namelessFile(), namelessFile(), namelessFile()])
        let bytes = Array(input.utf8)
        guard pwrite(run.files[0], bytes, bytes.count, 0) == bytes.count else { throw CommandFailure("pwrite", errno) }
        run.pid = try start(command, descriptors: run.files, environment: environment)
        return run
    }

    /// A command that has been started, with the files of its input, output and errors.
    private final class Run {
        let files: [Int32]
        var pid: pid_t = 0

        init(files: [Int32]) {
            self.files = files
        }

        deinit { files.forEach { close($0) } }

        func end() -> Result {
            Result(status: Command.wait(for: pid), output: Command.text(files[1]), errors: Command.text(files[2]))
        }
    }

    /// Runs a command that must succeed, and returns what it printed.
    @discardableResult
    public static func require(
        _ command: [String], input: String = "", environment: [String: String] = [:]
    ) throws -> String {
        let result = try run(command, input: input, environment: environment)
        guard result.status == 0 else { throw CommandFailure(command, result) }
        return result.output
    }

    /// Writes a shell script that can be started at once.
    ///
    /// Another process writes it: a program that is started meanwhile would inherit our descriptor for a moment, and
    /// the kernel refuses to execute a file that somebody may still write (ETXTBSY).
    public static func writeScript(_ text: String, to path: String) throws {
        try require(["sh", "-c", #"cat >"$1" && chmod +x "$1""#, "sh", path], input: "#!/bin/sh\n" + text)
    }

    /// Where tests keep files: the folder that TMPDIR names.
    package static let temporaryDirectory = FileManager.default.temporaryDirectory

    /// Whether there is a program of this name: on the path, or where those for the administrator are.
    public static func isInstalled(_ name: String) -> Bool {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        return (path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"])
            .contains { access("\($0)/\(name)", X_OK) == 0 }
    }
}

extension Command {
    /// Starts a command in a process group of its own, with the given descriptors as its standard input, output and
    /// error; -1 keeps ours.
    package static func start(
        _ command: [String], descriptors: [Int32], environment: [String: String] = [:]
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in descriptors.enumerated() where descriptor >= 0 {
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
        guard code == 0 else { throw CommandFailure("cannot start \(command[0])", code) }
        return pid
    }

    /// Waits for a command that `start` began; returns its exit status, or 128 and the number of the signal.
    @discardableResult
    package static func wait(for pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return exitStatus(status)
    }

    /// What `wait` returns, if the command has ended; nil while it runs.
    package static func statusIfEnded(_ pid: pid_t) -> Int32? {
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        return exitStatus(status)
    }

    private static func exitStatus(_ status: Int32) -> Int32 {
        status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
    }

    /// A way for bytes that no command inherits unless it is handed over.
    ///
    /// A pair of sockets, as those close on exec from the start: Swift does not see `pipe2`.
    package static func pipe() throws -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [0, 0]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw CommandFailure("socketpair", errno) }
        return (ends[0], ends[1])
    }

    /// A file that is gone when its descriptors are closed.
    private static func namelessFile() throws -> Int32 {
        let name = temporaryDirectory.appending(path: "command-XXXXXX").path
        var path = name.utf8CString.map { $0 }
        let file = mkstemp(&path)
        guard file >= 0 else { throw CommandFailure("mkstemp", errno) }
        unlink(path)
        _ = fcntl(file, F_SETFD, FD_CLOEXEC)
        return file
    }

    fileprivate static func text(_ file: Int32) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = pread(file, &buffer, buffer.count, off_t(bytes.count))
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer.prefix(count)
        }
    }
}

/// A command that runs beside the test and is ended, with all that it started, when the last reference to it goes.
public final class RunningCommand: Sendable {
    public let pid: Int32
    private let isOver = Mutex(false)

    public init(_ command: [String], environment: [String: String] = [:]) throws {
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { close(null) }
        pid = try Command.start(command, descriptors: [null, null, null], environment: environment)
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
            Command.wait(for: pid)
            isOver = true
        }
    }

    deinit { stop() }
}

/// A command that could not be run, or that failed.
public struct CommandFailure: Error, CustomStringConvertible {
    public let description: String

    package init(_ description: String) {
        self.description = description
    }

    fileprivate init(_ operation: String, _ code: Int32) {
        description = "\(operation): \(String(cString: strerror(code)))"
    }

    fileprivate init(_ command: [String], _ result: Command.Result) {
        description = "\(command.joined(separator: " ")) ended with \(result.status): \(result.errors)\(result.output)"
    }
}
