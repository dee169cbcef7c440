import Foundation
import Synchronization

/// A network namespace of a test's own, deleted with the last reference to it.
///
/// Processes are started in it by `ip netns exec`; the test's own process stays where it is, as its tasks change
/// threads and a namespace belongs to a thread.
public final class Namespace: Sendable {
    public let name: String
    private let isOwn: Bool
    private static let count = Atomic<Int>(0)

    public init() throws {
        let number = Self.count.add(1, ordering: .relaxed).newValue
        name = "switchyard-\(ProcessInfo.processInfo.processIdentifier)-\(number)"
        isOwn = true
        try Command.require(["ip", "netns", "add", name])
    }

    /// A namespace that somebody else has made and deletes.
    package init(ofAnother name: String) {
        self.name = name
        isOwn = false
    }

    deinit {
        guard isOwn else { return }
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
        try Command.require(commandPrefix + command, input: input, environment: environment)
    }

    /// Starts a command that runs beside the test.
    public func start(_ command: [String], environment: [String: String] = [:]) throws -> RunningCommand {
        try RunningCommand(commandPrefix + command, environment: environment)
    }
}

/// What tests in namespaces need.
public enum KernelNeeds {
    /// What this machine lacks for tests in namespaces that use these programs, or nil.
    public static func missing(_ programs: [String]) -> String? {
        guard geteuid() == 0 else { return "root" }
        let absent = (["ip"] + programs).first { !Command.isInstalled($0) }
        return absent.map { "the program \($0)" } ?? refusal
    }

    /// Why there can be no namespace. Found out once: every suite with such tests asks, even if it does not run.
    private static let refusal: String? = {
        do {
            _ = try Namespace()
            return nil
        } catch {
            return "network namespaces (\(error))"
        }
    }()
}
