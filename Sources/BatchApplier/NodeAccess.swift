import Glibc
import Subprocess
package import SystemPackage

/// How the applier reaches the node that it works on: the processes that it starts and the kernel's files.
///
/// The daemon works in the network namespace it runs in, and needs none of the options. Tests do not move their own
/// process into a namespace; they set `commandPrefix` and so start every process in it.
public struct NodeAccess: Hashable, Sendable {
    /// Put before every command, such as `["ip", "netns", "exec", "NAME"]`. Where it is set, files under /proc are
    /// read and written by processes as well, as /proc/net and /proc/sys show the namespace of whoever opens them.
    public var commandPrefix: [String]
    /// Goes over the environment of this process, for the processes that are started. `XTABLES_LOCKFILE` is
    /// respected by the applier too.
    public var environment: [String: String]
    /// Where programs are looked for.
    public var searchPath: [String]
    /// A process that takes longer is ended.
    public var processTimeout: Duration

    public init(
        commandPrefix: [String] = [], environment: [String: String] = [:],
        searchPath: [String] = NodeAccess.defaultSearchPath, processTimeout: Duration = .seconds(600)
    ) {
        self.commandPrefix = commandPrefix
        self.environment = environment
        self.searchPath = searchPath
        self.processTimeout = processTimeout
    }

    /// The directories of PATH, then /usr/sbin and /sbin, which the PATH of a service often lacks.
    public static var defaultSearchPath: [String] {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        return path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
    }

    /// The path of a program, or nil where none of the directories has it.
    package func findProgram(_ name: String) -> String? {
        searchPath.lazy.map { $0 + "/" + name }.first { access($0, X_OK) == 0 }
    }

    /// The value of a variable that a process started here sees.
    package func environmentValue(_ name: String) -> String? {
        environment[name] ?? getenv(name).map { String(cString: $0) }
    }
}

/// How a process ended and what it printed.
package struct ProcessResult: Hashable, Sendable {
    package enum Ending: Hashable, Sendable {
        case exited(Int32)
        case signalled(Int32)
        /// It took longer than `NodeAccess.processTimeout` and was ended.
        case timedOut
        /// It could not be started; the reason is in `standardError`.
        case notStarted
    }

    package var ending: Ending
    package var standardOutput: [UInt8] = []
    package var standardError: [UInt8] = []

    package var succeeded: Bool { ending == .exited(0) }
    package var exitStatus: Int32? { if case .exited(let status) = ending { status } else { nil } }
    package var errorText: String { String(decoding: standardError, as: UTF8.self) }
}

extension NodeAccess {
    /// Runs a program to its end, feeds it and drains both its outputs at the same time.
    ///
    /// - Parameters:
    ///   - standardOutput: what the program gets as its standard output; nothing is read from it then. Of the
    ///   descriptors of this process it inherits no other.
    ///   - take: is given what the program prints in pieces as they come; nothing is kept then, and there is no input.
    package func run(
        _ program: String, _ arguments: [String] = [], input: InputText = InputText(),
        environment added: [String: String] = [:], standardOutput: FileDescriptor? = nil,
        take: (@Sendable ([UInt8]) -> Void)? = nil
    ) async -> ProcessResult {
        _ = Self.ignoresBrokenPipes
        OwnProcesses.began()
        defer { OwnProcesses.ended() }
        var command = commandPrefix + [program] + arguments
        let executable = command.removeFirst()
        let variables = environment.merging(added) { $1 }.map { (Environment.Key(stringLiteral: $0), Optional($1)) }
        var platformOptions = PlatformOptions()
        platformOptions.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: .seconds(1))]
        let configuration = Configuration(
            executable: executable.contains("/") ? .path(FilePath(executable)) : .name(executable),
            arguments: Arguments(command),
            environment: .inherit.updating(Dictionary(uniqueKeysWithValues: variables)),
            platformOptions: platformOptions)
        let timeout = processTimeout
        return await withTaskGroup(of: ProcessResult?.self) { group in
            group.addTask {
                if let take { return await Self.run(configuration, take) }
                guard let standardOutput else {
                    return await Self.run(configuration, input, output: .bytes(limit: .max)) { $0 }
                }
                let output = FileDescriptorOutput.fileDescriptor(standardOutput, closeAfterSpawningProcess: false)
                return await Self.run(configuration, input, output: output) { [] }
            }
            group.addTask {
                try? await Task.sleep(for: timeout)
                return nil
            }
            let first = await group.next() ?? nil
            // Cancelling the task that runs a process ends the process: SIGTERM, and SIGKILL a second later.
            group.cancelAll()
            return first ?? ProcessResult(ending: .timedOut)
        }
    }

    private static func run<Output: OutputProtocol>(
        _ configuration: Configuration, _ input: InputText, output: Output, _ bytes: (Output.OutputType) -> [UInt8]
    ) async -> ProcessResult {
        do {
            // Without a limit: a table of any size is read back whole.
            let result = try await Subprocess.run(
                configuration, input: .inputWriter, output: output, error: .bytes(limit: .max)
            ) { execution in
                // A program that ends before it has read everything, as iptables-restore does at the first line
                // that it refuses, is judged by its exit status and by what it printed, not by the broken pipe.
                for piece in input.portions {
                    guard (try? await execution.standardInputWriter.write(piece)) != nil else { break }
                }
                try? await execution.standardInputWriter.finish()
            }
            return ProcessResult(
                ending: .init(result.terminationStatus), standardOutput: bytes(result.standardOutput),
                standardError: result.standardError)
        } catch {
            return ProcessResult(ending: .notStarted, standardError: Array("\(error)".utf8))
        }
    }

    private static func run(
        _ configuration: Configuration, _ take: @Sendable ([UInt8]) -> Void
    ) async -> ProcessResult {
        do {
            let result = try await Subprocess.run(
                configuration, input: .none, output: .sequence, error: .bytes(limit: .max)
            ) { execution in
                for try await piece in execution.standardOutput { piece.withUnsafeBytes { take(Array($0)) } }
            }
            return ProcessResult(ending: .init(result.terminationStatus), standardError: result.standardError)
        } catch {
            return ProcessResult(ending: .notStarted, standardError: Array("\(error)".utf8))
        }
    }

    /// Makes a write to a program that has ended an error instead of the end of this process. Programs that are
    /// started do not inherit it: swift-subprocess gives them the default handlers.
    private static let ignoresBrokenPipes: Bool = {
        signal(SIGPIPE, SIG_IGN)
        return true
    }()
}

extension ProcessResult.Ending {
    fileprivate init(_ status: TerminationStatus) {
        switch status {
        case .exited(let status): self = .exited(status)
        case .signaled(let signal): self = .signalled(signal)
        }
    }
}

extension NodeAccess {
    /// The content of a small file of the kernel, or nil where it cannot be read.
    package func readFile(_ path: String) async -> String? {
        guard commandPrefix.isEmpty else {
            let result = await run("cat", [path])
            return result.succeeded ? String(decoding: result.standardOutput, as: UTF8.self) : nil
        }
        return readSmallFile(path)
    }

    /// Writes a small file of the kernel in one write. Returns what went wrong, or nil.
    package func writeFile(_ path: String, _ content: String) async -> String? {
        guard commandPrefix.isEmpty else {
            let result = await run("tee", [path], input: InputText(Array(content.utf8)))
            return result.succeeded ? nil : result.errorText.trimmed
        }
        do {
            let file = try FileDescriptor.open(path, .writeOnly)
            try file.closeAfter { _ = try file.writeAll(content.utf8) }
            return nil
        } catch {
            return "\(error)"
        }
    }
}

/// The content of a file under /proc, whose size is not known before it is read; nil where it cannot be read.
package func readSmallFile(_ path: String) -> String? {
    guard let file = try? FileDescriptor.open(path, .readOnly) else { return nil }
    var bytes: [UInt8] = []
    return try? file.closeAfter {
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
        defer { piece.deallocate() }
        while case let count = try file.read(into: piece), count > 0 { bytes += piece[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension String {
    /// Without white space at both ends.
    var trimmed: String {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(self[first...last])
    }
}
