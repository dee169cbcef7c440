import CMnl
import Glibc
public import ProxyCore
import SystemPackage

/// Tries what ipvs mode does to a kernel, in a network namespace of its own: nothing on the node changes, but that the
/// kernel loads modules. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
///
/// Calls wait on a thread of their own.
public actor IPVSTrial {
    private let executor = BlockingExecutor(label: "switchyard.ipvs-trial")
    private let family: IPFamily
    private let tools: IPTablesTools?

    nonisolated public var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameter tools: the programs that rules are tried with; nil where no rules are.
    public init(_ family: IPFamily, tools: IPTablesTools?) {
        self.family = family
        self.tools = tools
    }

    /// Tries the steps in their order, and returns an answer for each.
    ///
    /// - Throws: where there can be no namespace.
    public func answers(to steps: [IPVSTrialStep]) throws(IPVSError) -> [IPVSTrialStep.Answer] {
        let work = Work(family, tools)
        do throws(NetlinkError) {
            try NewNamespace.run { work.answers = steps.map(work.answer) }
        } catch {
            throw IPVSError(
                .unsupported, "a network namespace to try things in cannot be made (\(error.errno))", error.errno)
        }
        return work.answers
    }

    /// What the thread does; read when the thread is over.
    private final class Work {
        let family: IPFamily
        let tools: IPTablesTools?
        var answers: [IPVSTrialStep.Answer] = []
        private let options = NetlinkSocket.Options(timeout: .seconds(5))

        init(_ family: IPFamily, _ tools: IPTablesTools?) {
            self.family = family
            self.tools = tools
        }

        func answer(to step: IPVSTrialStep) -> IPVSTrialStep.Answer {
            do throws(NetlinkError) {
                return try perform(step)
            } catch {
                switch error.errno {
                case .notPermitted, .permissionDenied:
                    return .unknown("this needs root, or CAP_NET_ADMIN in the network namespace")
                case .timedOut, .noBufferSpace, .noMemory: return .unknown("\(error)")
                default: return .refused
                }
            }
        }

        private func perform(_ step: IPVSTrialStep) throws(NetlinkError) -> IPVSTrialStep.Answer {
            switch step {
            case .servers: try changeServer(.deleteServer(key), mayFailWith: .noSuchProcess)
            case .server(let scheduler):
                try changeServer(
                    .addServer(key, .init(scheduler: scheduler, persistenceSeconds: nil, realServers: [])),
                    mayFailWith: .fileExists)
                try changeServer(.deleteServer(key), mayFailWith: .noSuchProcess)
            case .setting(let path):
                return access("/proc/sys/\(path)", F_OK) == 0 ? .taken : .refused
            case .set(let kind):
                var socket = try NetlinkSocket(options: options)
                let messages = try IPSetMessages.find(&socket)
                // One of addresses stays, for the rules.
                let name = kind == .addresses ? IPVSTrialStep.setName : "check-\(kind.rawValue)"
                let request = messages.create(name, kind, family)
                for failure in try socket.perform(request, operation: "create a set") { throw failure }
            case .device:
                var socket = try NetlinkSocket(NETLINK_ROUTE, options: options)
                let request = DeviceMessages.create(ServiceDevice.kubeProxyName)
                for failure in try socket.perform(request, operation: "make a device") { throw failure }
            case .rule(let table, let rule): return perform(rule, of: table)
            }
            return .taken
        }

        /// A documentation address (RFC 5737, RFC 3849).
        private var key: VirtualServer.Key {
            let address =
                family == .ipv4 ? IPAddress(ipv4: 0xc000_0201) : IPAddress(high: 0x2001_0db8_0000_0000, low: 1)
            return .init(address, .tcp, 80)
        }

        private func changeServer(_ change: IPVSChange, mayFailWith errno: Errno) throws(NetlinkError) {
            var socket = try NetlinkSocket(NETLINK_GENERIC, options: options)
            var batch = NetlinkBatch()
            try IPVSMessages.find(&socket).append(change, to: &batch)
            for failure in try socket.perform(batch, operation: change.sentence) where failure.errno != errno {
                throw failure
            }
        }

        private func perform(_ rule: String, of table: IPTablesBatch.TableName) -> IPVSTrialStep.Answer {
            guard let tools else { return .unknown("the programs are missing") }
            let chain = "SWITCHYARD-CHECK"
            let line = rule.isEmpty ? "" : "-A \(chain) \(rule)\n"
            let input = "*\(table.rawValue)\n:\(chain) - [0:0]\n\(line)COMMIT\n"
            do throws(Errno) {
                let status = try ThreadProgram.run(
                    tools.restore, ["-w", "5", "--noflush"], input: Array(input.utf8))
                return status == 0 ? .taken : .refused
            } catch {
                return .unknown("\(tools.restore) cannot be started (\(error))")
            }
        }
    }
}
