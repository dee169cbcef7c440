import ArgumentParser
import Foundation
import ProxyCore

/// The command line. Rules go to standard output, everything else to standard error.
@main
struct Switchyard: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "switchyard",
        abstract:
            "The rules by which a node serves the Services of a Kubernetes cluster: written, applied, compared, explained.",
        version: version,
        subcommands: [
            Run.self, Render.self, Apply.self, Diff.self, Explain.self, Check.self, Status.self, Cleanup.self,
        ])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let status as ExitStatus {
            Foundation.exit(status.rawValue)
        } catch let refusal as InputError {
            Console.report(refusal.diagnostics)
            Foundation.exit(ExitStatus.badInput.rawValue)
        } catch {
            // Help is an error to the parser; a wrong option is bad input, whose status is 2 and not the parser's 64.
            let message = fullMessage(for: error)
            if exitCode(for: error).isSuccess {
                Console.write(message + "\n")
                Foundation.exit(ExitStatus.success.rawValue)
            }
            Console.writeError(message)
            Foundation.exit(ExitStatus.badInput.rawValue)
        }
    }
}

/// The statuses with which commands end.
enum ExitStatus: Int32, Error {
    case success = 0
    /// The kernel refused something, what was compared differs, or the daemon is not healthy.
    case failed = 1
    /// The input or an option was refused, or what was asked could not be told: rules could not be compared, nothing
    /// could be tried, no daemon is running.
    case badInput = 2
}
