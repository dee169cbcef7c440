import Foundation
import TestSupport
import Testing

/// A client that connects to a service every 20 ms, each time anew, until it is stopped.
final class ConnectionProbe {
    private let process: RunningCommand
    private let output: URL

    /// - Parameter address: where to, from the node's own second address.
    init(_ node: DaemonNode, to address: String = NodeService.always.clusterIP, _ port: UInt16 = 80) throws {
        output = node.folder.appending(path: "probe-\(UUID().uuidString)")
        // Patient: a rule that is missing is told by a refusal, not by the time that passes.
        process = try node.namespace.start([
            "sh", "-c", #"exec "$@" >\#(output.path)"#, "sh", BuiltProducts.trafficPeer, "ask", "--tcp", address,
            String(port), "--source", "10.1.0.2", "--timeout", "20000", "--every", "20", "--count", "1000000",
        ])
    }

    /// Ends it. Returns how many attempts succeeded, and what became of the others.
    func stop() throws -> (succeeded: Int, others: [String]) {
        process.stop()
        let text = try String(contentsOf: output, encoding: .utf8)
        var succeeded = 0
        var others: [String] = []
        // The last line may be cut.
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if line.hasPrefix("pod ") { succeeded += 1 } else { others.append(String(line)) }
        }
        return (succeeded, others)
    }
}
