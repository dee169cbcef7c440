import EndpointWatcher
import Foundation
import ProxyCore
import Subprocess
import SystemPackage

extension ExecPlugin {
    /// What a plugin may print; more is no credential.
    private static let outputLimit = 1 << 20

    /// Runs the plugin to its end and reads the credential that it prints.
    ///
    /// A plugin that takes longer than `timeLimit` is ended, with what it started, as it is when the task is cancelled.
    func run(timeLimit: Duration) async throws(APITransportError) -> ExecCredential {
        let configuration = try configuration()
        let ending = await withTaskGroup(of: Ending.self) { group in
            group.addTask { await Self.run(configuration) }
            group.addTask {
                do {
                    try await Task.sleep(for: timeLimit)
                    return .timedOut
                } catch {
                    return .cancelled
                }
            }
            let first = await group.next() ?? .cancelled
            group.cancelAll()
            return first
        }
        switch ending {
        case .output(let bytes):
            do throws(ExecCredential.Failure) {
                return try ExecCredential(bytes, version: version)
            } catch {
                throw failure(error.sentence)
            }
        case .failed(let status, let errors):
            let said = errors.isEmpty ? "" : ": \(errors)"
            throw failure("\(status)\(said)")
        case .printedTooMuch: throw failure("printed more than \(Self.outputLimit) bytes")
        case .notStarted(let reason): throw failure("cannot be started: \(reason)")
        case .timedOut: throw failure("was not done after \(timeLimit.seconds) s, and was ended")
        case .cancelled: throw failure("was ended, as nobody waits for it any more")
        }
    }

    private func failure(_ sentence: String) -> APITransportError {
        APITransportError("credential plugin \(command.printable(limit: 200)): \(sentence)")
    }

    private func configuration() throws(APITransportError) -> Configuration {
        var variables: [Environment.Key: String?] = [:]
        for variable in environment { variables[Environment.Key(stringLiteral: variable.name)] = variable.value.text }
        variables["KUBERNETES_EXEC_INFO"] = try information()
        var options = PlatformOptions()
        // A group of its own: a plugin is often a script, whose children end with it.
        options.processGroupID = 0
        options.teardownSequence = [
            .gracefulShutDown(toProcessGroup: true, allowedDurationToNextStep: .milliseconds(500))
        ]
        return Configuration(
            executable: command.contains("/") ? .path(FilePath(command)) : .name(command),
            arguments: Arguments(arguments), environment: .inherit.updating(variables), platformOptions: options)
    }

    /// The ExecCredential that tells the plugin what it is asked for.
    private func information() throws(APITransportError) -> String {
        var spec = Information.Spec(interactive: false)
        if let cluster {
            var authority: Data?
            do throws(PEM.Failure) {
                authority = try cluster.authority.map { (source) throws(PEM.Failure) in Data(try PEM.bytes(source)) }
            } catch {
                throw failure("cannot be told the certificate authority of the cluster, which \(error.sentence)")
            }
            spec.cluster = .init(
                server: cluster.server, serverName: cluster.serverName,
                skipsVerification: cluster.isVerified ? nil : true, authority: authority)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = try? encoder.encode(Information(apiVersion: version.rawValue, spec: spec))
        return String(decoding: bytes ?? Data(), as: UTF8.self)
    }

    /// How a plugin ended.
    private enum Ending: Sendable {
        case output([UInt8])
        /// How it ended, and the end of what it said on standard error.
        case failed(status: String, errors: String)
        case printedTooMuch
        case notStarted(String)
        case timedOut
        case cancelled
    }

    private static func run(_ configuration: Configuration) async -> Ending {
        do {
            let result = try await Subprocess.run(
                configuration, input: .none, output: .bytes(limit: outputLimit), error: .bytes(limit: outputLimit))
            let errors = String(decoding: result.standardError, as: UTF8.self)
                .trimmingCharacters(in: .whitespacesAndNewlines).printable(limit: 500)
            switch result.terminationStatus {
            case .exited(0): return .output(result.standardOutput)
            case .exited(let status): return .failed(status: "ended with status \(status)", errors: errors)
            case .signaled(let signal): return .failed(status: "was ended by signal \(signal)", errors: errors)
            }
        } catch let error as SubprocessError where error.code == .outputLimitExceeded {
            return .printedTooMuch
        } catch is CancellationError {
            return .cancelled
        } catch {
            return .notStarted("\(error)".printable(limit: 300))
        }
    }

    /// An ExecCredential as it is handed to a plugin.
    private struct Information: Encodable {
        struct Spec: Encodable {
            var cluster: Cluster?
            var interactive: Bool
        }

        struct Cluster: Encodable {
            var server: String
            var serverName: String?
            var skipsVerification: Bool?
            /// Encoded in base64.
            var authority: Data?

            enum CodingKeys: String, CodingKey {
                case server
                case serverName = "tls-server-name"
                case skipsVerification = "insecure-skip-tls-verify"
                case authority = "certificate-authority-data"
            }
        }

        var apiVersion: String
        var kind = "ExecCredential"
        var spec: Spec
    }
}

extension Duration {
    /// In seconds, rounded to a tenth where it is not whole.
    fileprivate var seconds: String {
        let (seconds, rest) = components
        return rest == 0 ? "\(seconds)" : "\(seconds).\(rest / 100_000_000_000_000_000)"
    }
}
