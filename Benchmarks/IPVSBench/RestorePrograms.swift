import BatchApplier
import BenchSupport
import Foundation
import IPVSBackend
import TestSupport

/// The programs that load what ipvs mode keeps, each from a file, in the network namespace of the calling thread.
struct RestorePrograms {
    private let inputs: [Program: String]

    enum Program: String, CaseIterable {
        case ipset
        case ipvsadm
        case addresses = "addresses-batch"
        case rules = "rules-restore"

        fileprivate var command: String {
            switch self {
            case .ipset: "ipset restore"
            case .ipvsadm: "ipvsadm --restore"
            case .addresses: "ip -batch -"
            case .rules: "iptables-legacy-restore --wait --noflush"
            }
        }
    }

    /// - Parameter rules: what iptables-restore reads.
    init(_ table: IPVSTable, rules: String) {
        let addresses = table.addressText.split(separator: "\n").map { "address add \($0)/32 dev kube-ipvs0\n" }
        inputs = [
            .ipset: table.ipsetText, .ipvsadm: table.ipvsadmText,
            .addresses: "link add kube-ipvs0 type dummy\n" + addresses.joined(), .rules: rules,
        ]
    }

    /// Returns the milliseconds from the program's start to its end.
    func run(_ program: Program) throws -> Double { try run(program, inputs[program] ?? "") }

    /// The same where there is nothing to be done.
    func runIdle(_ program: Program) throws -> Double { try run(program, "") }

    private func run(_ program: Program, _ input: String) throws -> Double {
        let path = NSTemporaryDirectory() + "ipvs-bench-\(getpid())"
        defer { unlink(path) }
        guard FileManager.default.createFile(atPath: path, contents: Data(input.utf8)) else {
            throw Failure("cannot write \(path)")
        }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        var arguments = program.command.split(separator: " ").map(String.init)
        // Without a search along the path.
        arguments[0] = NodeAccess().findProgram(arguments[0]) ?? arguments[0]
        let start = ContinuousClock.now
        let status = Command.wait(for: try Command.start(arguments, descriptors: [file]))
        let time = ContinuousClock.now - start
        guard status == 0 else { throw Failure("\(program.command) ended with \(status)") }
        return time.inMilliseconds
    }
}
