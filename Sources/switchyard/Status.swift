import ArgumentParser
import SyncLoop

/// Asks the running daemon how it is.
struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says whether the daemon on this node is healthy, and what it last did.",
        discussion: """
            Prints whether every rule is as it should be, and if not why; then the last sync and the last failure of \
            each family, what is pending, and what was changed by others and mended. The status is 0 if the daemon is \
            healthy, 1 if it is not, does not answer within two seconds or cannot be asked, and 2 if none is running.
            """)

    @Option(help: ArgumentHelp("The socket at which the daemon answers.", valueName: "path"))
    var socket = StatusServer.defaultPath

    @Option(
        help: ArgumentHelp(
            "Says what one service's counters say: NAMESPACE/NAME, or NAMESPACE/NAME:PORT.", valueName: "service"))
    var service: String?

    @Flag(help: "Prints the document that the daemon gives, in JSON.")
    var json = false

    func validate() throws {
        if json, service != nil { throw ValidationError("--json prints everything: leave out --service.") }
    }

    func run() throws {
        do {
            let document = try StatusClient.read(path: socket)
            guard let status = try? DaemonStatus(document: document) else {
                Console.error("What the socket \(socket) gives is not a status that can be read.")
                throw ExitStatus.failed
            }
            if let service { return try show(service, of: status) }
            if json { Console.write(document) } else { Console.write(status.text()) }
            if !status.healthy { throw ExitStatus.failed }
        } catch let error as StatusSocketError {
            Console.error("\(error)")
            if case .notRunning = error { throw ExitStatus.badInput }
            throw ExitStatus.failed
        }
    }

    private func show(_ service: String, of status: DaemonStatus) throws {
        guard status.countsServices else {
            Console.error(
                "The daemon does not count connections: `run --service-counters` does, in nftables mode."
            )
            throw ExitStatus.failed
        }
        guard let text = status.text(ofService: service) else {
            Console.error("There is no counter of a service port \(service).")
            throw ExitStatus.failed
        }
        Console.write(text)
    }
}
