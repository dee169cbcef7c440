public import ProxyCore

/// A part of a kernel that ipvs mode needs and that a kernel can be without.
///
/// The names of options are those of the Kconfig files of Linux under net/netfilter, net/ipv4/netfilter,
/// net/ipv6/netfilter and drivers/net.
public enum IPVSFeature: Hashable, Sendable {
    case servers
    case scheduler(IPVSScheduler)
    case connectionTracking
    case set(IPSet.Kind)
    case device
    case table(IPTablesBatch.TableName)
    case match(Match)
    case target(Target)

    public enum Match: String, CaseIterable, Sendable {
        case comment, mark, conntrack, set, addrtype, physdev, ipvs
    }

    public enum Target: String, CaseIterable, Sendable {
        case mark = "MARK"
        case masquerade = "MASQUERADE"
        case reject = "REJECT"
    }

    /// All that a node with a scheduler needs, each behind those that it cannot do without.
    public static func all(_ scheduler: IPVSScheduler) -> [IPVSFeature] {
        [.servers, .scheduler(scheduler), .connectionTracking]
            + [IPSet.Kind.addresses, .addressesAndPorts, .pairs, .ranges, .ports].map(set) + [.device]
            + [IPTablesBatch.TableName.filter, .nat].map(table) + Match.allCases.map(match)
            + Target.allCases.map(target)
    }

    /// Without all of these this one cannot be there either, and need not be named.
    public var prerequisites: [IPVSFeature] {
        switch self {
        case .servers, .set, .device, .table: []
        case .scheduler, .connectionTracking: [.servers]
        case .match(.set): [.set(.addresses), .table(.filter)]
        case .match, .target(.mark), .target(.reject): [.table(.filter)]
        case .target(.masquerade): [.table(.nat)]
        }
    }

    /// True for what rules consist of.
    public var isOfRules: Bool {
        switch self {
        case .table, .match, .target: true
        default: false
        }
    }

    public var step: IPVSTrialStep {
        switch self {
        case .servers: .servers
        case .scheduler(let scheduler): .server(scheduler)
        case .connectionTracking: .setting("net/ipv4/vs/conntrack")
        case .set(let kind): .set(kind)
        case .device: .device
        case .table(let table): .rule(table, "")
        case .match(let match): .rule(.filter, match.rule + " -j RETURN")
        case .target(.mark): .rule(.filter, "-j MARK --or-mark 0x4000")
        case .target(.masquerade): .rule(.nat, "-j MASQUERADE")
        case .target(.reject): .rule(.filter, "-j REJECT")
        }
    }
}

extension IPVSFeature.Match {
    fileprivate var rule: String {
        switch self {
        case .comment: "-m comment --comment check"
        case .mark: "-m mark --mark 0x4000/0x4000"
        case .conntrack: "-m conntrack --ctstate NEW"
        case .set: "-m set --match-set \(IPVSTrialStep.setName) dst"
        case .addrtype: "-m addrtype --dst-type LOCAL"
        case .physdev: "-m physdev ! --physdev-is-in"
        case .ipvs: "-m ipvs --vproto 6 --vport 80"
        }
    }
}

// MARK: - Absence

extension IPVSFeature {
    /// A sentence for each that was refused and of which no prerequisite was.
    ///
    /// - Parameter answers: to the steps of the features.
    public static func absences(
        _ features: [IPVSFeature], _ answers: [IPVSTrialStep.Answer], _ family: IPFamily
    ) -> [String] {
        var refused: Set<IPVSFeature> = []
        var sentences: [String] = []
        for (feature, answer) in zip(features, answers) where answer == .refused {
            refused.insert(feature)
            guard refused.isDisjoint(with: feature.prerequisites) else { continue }
            sentences.append(feature.absence(family))
        }
        return sentences
    }

    /// What is said where a kernel is without it.
    func absence(_ family: IPFamily) -> String {
        let program = family == .ipv4 ? "iptables-restore" : "ip6tables-restore"
        let who = isOfRules ? "this kernel, or \(program)," : "this kernel"
        return "\(who) lacks \(name(family)) (\(kernelOptions(family))): \(use)"
    }

    private func name(_ family: IPFamily) -> String {
        switch self {
        case .servers: family == .ipv4 ? "IPVS, or its module ip_vs is not loaded" : "IPVS for IPv6"
        case .scheduler(let scheduler): "the scheduler \(scheduler.name) of IPVS"
        case .connectionTracking: "connection tracking for IPVS"
        case .set(let kind): "sets of the type \(kind.rawValue)"
        case .device: "dummy devices"
        case .table(let table): "the table \(table.rawValue)"
        case .match(let match): "the match \(match.rawValue)"
        case .target(let target): "the target \(target.rawValue)"
        }
    }

    private func kernelOptions(_ family: IPFamily) -> String {
        let number = family == .ipv4 ? "" : "6"
        switch self {
        case .servers: return family == .ipv4 ? "CONFIG_IP_VS" : "CONFIG_IP_VS and CONFIG_IP_VS_IPV6"
        case .scheduler(let scheduler): return "CONFIG_IP_VS_\(scheduler.name.uppercased())"
        case .connectionTracking: return "CONFIG_IP_VS_NFCT"
        case .set(let kind):
            let words = kind.rawValue.uppercased().split { $0 == ":" || $0 == "," }
            return "CONFIG_IP_SET_\(words[0])_\(words.dropFirst().joined())"
        case .device: return "CONFIG_DUMMY"
        case .table(let table):
            return "CONFIG_IP\(number)_NF_\(table.rawValue.uppercased()), or CONFIG_NFT_COMPAT with the variant nft"
        case .match(.set): return "CONFIG_NETFILTER_XT_SET"
        case .match(let match): return "CONFIG_NETFILTER_XT_MATCH_\(match.rawValue.uppercased())"
        case .target(.mark): return "CONFIG_NETFILTER_XT_TARGET_MARK"
        case .target(let target): return "CONFIG_IP\(number)_NF_TARGET_\(target.rawValue)"
        }
    }

    /// What does without it what it should not.
    private var use: String {
        switch self {
        case .servers, .scheduler, .device, .table, .match(.comment), .match(.set), .match(.addrtype):
            "every service needs it"
        case .connectionTracking, .match(.mark), .target(.mark), .target(.masquerade):
            "external traffic and traffic of an endpoint to itself need it"
        case .set(.addresses), .match(.conntrack), .target(.reject):
            "ports that are no service of their address need it"
        case .set(.addressesAndPorts): "every service needs it"
        case .set(.pairs): "traffic of an endpoint to itself needs it"
        case .set(.ranges): "source ranges need it"
        case .set(.ports): "node ports need it"
        case .match(.physdev): "external IPs need it"
        case .match(.ipvs): "load-balancer IPs that the node itself may not use need it"
        }
    }

    /// What is said of a kernel in which no setting mends what becomes of connections from a port that was used before;
    /// nil for all from 4.1 on.
    ///
    /// - Parameter release: as uname(2) has it.
    public static func reuseProblem(release: String) -> String? {
        guard ConnectionReuse(release: release) == .faulty else { return nil }
        return "this kernel is older than 4.1, where connections from a port that was used before go to endpoints that "
            + "are gone: it is better replaced"
    }
}

/// What a kernel does with a connection from an address and port that it remembers from an earlier one
/// (Documentation/networking/ipvs-sysctl.rst of Linux, `conn_reuse_mode`).
enum ConnectionReuse {
    case faulty
    /// As net.ipv4.vs.conn_reuse_mode says, and each way has a fault: such connections wait for a second, or with 0 go
    /// where the earlier one went. Of the two kube-proxy takes 0.
    case bySetting
    case sound

    /// - Parameter release: as uname(2) has it; one that is not known is taken for new.
    init(release: String) {
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        guard numbers.count == 2 else {
            self = .sound
            return
        }
        let version = (numbers[0], numbers[1])
        self = version < (4, 1) ? .faulty : version < (5, 9) ? .bySetting : .sound
    }
}
