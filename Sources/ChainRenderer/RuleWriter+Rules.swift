import NameHash
import ProxyCore

/// The parts that rules are put together from. Each begins with a space; what ends a rule ends the line.
extension RuleWriter {
    /// `:CHAIN - [0:0]`
    mutating func writeDeclaration(_ chain: ServiceChain, _ hash: NameHash) {
        write(":")
        write(chain.prefix)
        write(hash)
        write(" - [0:0]\n")
    }

    mutating func writeRule(in chain: ServiceChain, _ hash: NameHash) {
        write("-A ")
        write(chain.prefix)
        write(hash)
    }

    mutating func writeJump(_ chain: ServiceChain, _ hash: NameHash) {
        write(" -j ")
        write(chain.prefix)
        write(hash)
        write("\n")
    }

    /// A comment of the service port's name alone: it has no space and needs no quotes.
    mutating func writeComment(_ name: borrowing RuleWriter) {
        write(" -m comment --comment ")
        write(name.bytes)
    }

    mutating func writeComment(_ name: borrowing RuleWriter, _ rest: StaticString) {
        write(" -m comment --comment \"")
        write(name.bytes)
        write(rest)
        write("\"")
    }

    mutating func writeExternalComment(_ start: StaticString, _ name: borrowing RuleWriter) {
        write(" -m comment --comment \"")
        write(start)
        write(name.bytes)
        write(" external destinations\"")
    }

    mutating func writeProtocol(_ protocol: TransportProtocol) {
        write(" -m ")
        write(`protocol`.lowercaseName)
        write(" -p ")
        write(`protocol`.lowercaseName)
    }

    mutating func writeDestination(_ protocol: TransportProtocol, _ address: IPAddress, _ port: UInt16) {
        writeProtocol(`protocol`)
        write(" -d ")
        write(address)
        write(" --dport ")
        write(decimal: port)
    }

    mutating func writeNodePort(_ plan: ServicePlan, _ name: borrowing RuleWriter, _ destination: StaticString) {
        write("-A KUBE-NODEPORTS")
        writeComment(name)
        writeProtocol(plan.name.protocol)
        write(destination)
        write(" --dport ")
        write(decimal: plan.nodePort)
    }

    /// The match for packets of this cluster's pods, or for all others.
    mutating func write(_ detector: NodePlan.LocalDetector, inverted: Bool) {
        if detector != .none, inverted { write(" !") }
        switch detector {
        case .none: break
        case .source(let cidr):
            write(" -s ")
            write(cidr)
        case .bridge(let name):
            write(" -i ")
            write(name)
        case .interfacePrefix(let prefix):
            write(" -i ")
            write(prefix)
            write("+")
        }
    }
}
