import Foundation

/// The program around a server, to be run inside a network namespace: commands on standard input, answers on standard
/// output.
package enum TestAPIServerProgram {
    /// Runs until `stop` or the end of the input. The one argument is a `TestAPIServerOptions` as JSON; without it the
    /// defaults hold. The first line that is printed is `ready PORT KUBECONFIG`.
    package static func run(arguments: [String]) async {
        do {
            let options = try arguments.first.map {
                try JSONDecoder().decode(TestAPIServerOptions.self, from: Data($0.utf8))
            }
            let server = try await TestAPIServer.start(options ?? TestAPIServerOptions())
            say("ready \(server.port) \(server.kubeconfigPath)")
            while let line = readLine() {
                let reply: ServerReply
                var isLast = false
                do {
                    let command = try JSONDecoder().decode(ServerCommand.self, from: Data(line.utf8))
                    if case .stop = command { isLast = true }
                    reply = await server.perform(command)
                } catch {
                    reply = ServerReply(version: server.version, error: "\(error)")
                }
                if isLast { await server.stop() }
                say(String(decoding: try JSONEncoder().encode(reply), as: UTF8.self))
                if isLast { return }
            }
            await server.stop()
        } catch {
            FileHandle.standardError.write(Data("test-api-server: \(error)\n".utf8))
            exit(1)
        }
    }

    private static func say(_ line: String) {
        FileHandle.standardOutput.write(Data("\(line)\n".utf8))
    }
}
