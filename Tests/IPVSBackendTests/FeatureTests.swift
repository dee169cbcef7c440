import IPVSBackend
import ProxyCore
import Testing

@Suite("What a kernel lacks for ipvs mode")
struct IPVSFeatureTests {
    private static let scheduler = IPVSScheduler("wlc")
    private static let features = IPVSFeature.all(scheduler)

    private func absences(without lacking: Set<IPVSFeature>, _ family: IPFamily = .ipv4) -> [String] {
        let answers = Self.features.map { lacking.contains($0) ? IPVSTrialStep.Answer.refused : .taken }
        return IPVSFeature.absences(Self.features, answers, family)
    }

    @Test("is named with what needs it, each thing alone")
    func each() {
        #expect(absences(without: []) == [])
        for feature in Self.features { #expect(absences(without: [feature]).count == 1, "\(feature)") }
        #expect(
            absences(without: [.scheduler(Self.scheduler), .set(.ranges), .match(.ipvs), .target(.masquerade)], .ipv6)
                == [
                    "this kernel lacks the scheduler wlc of IPVS (CONFIG_IP_VS_WLC): every service needs it",
                    "this kernel lacks sets of the type hash:ip,port,net (CONFIG_IP_SET_HASH_IPPORTNET): source ranges "
                        + "need it",
                    "this kernel, or ip6tables-restore, lacks the match ipvs (CONFIG_NETFILTER_XT_MATCH_IPVS): "
                        + "load-balancer IPs that the node itself may not use need it",
                    "this kernel, or ip6tables-restore, lacks the target MASQUERADE (CONFIG_IP6_NF_TARGET_MASQUERADE): "
                        + "external traffic and traffic of an endpoint to itself need it",
                ])
    }

    @Test("is named alone where all that is built on it lacks as well")
    func prerequisites() {
        #expect(
            absences(without: [.servers, .scheduler(Self.scheduler), .connectionTracking]) == [
                "this kernel lacks IPVS, or its module ip_vs is not loaded (CONFIG_IP_VS): every service needs it"
            ])
        let rules = Set(Self.features.filter(\.isOfRules))
        #expect(absences(without: rules).count == 2)
        // A feature is tried behind what it needs.
        for (place, feature) in Self.features.enumerated() {
            for prerequisite in feature.prerequisites { #expect(Self.features[..<place].contains(prerequisite)) }
        }
    }

    @Test("is tried by a rule that has it, if it is of rules")
    func rules() {
        for feature in Self.features {
            guard case .rule(let table, let rule) = feature.step else {
                #expect(!feature.isOfRules, "\(feature)")
                continue
            }
            switch feature {
            case .table(let own): #expect(table == own && rule == "")
            case .match(let match): #expect(rule.hasPrefix("-m \(match.rawValue) "), "\(rule)")
            case .target(let target): #expect("\(rule) ".contains("-j \(target.rawValue) "), "\(rule)")
            default: Issue.record("\(feature)")
            }
        }
    }

    @Test(
        "connections from a used port: kernels from 4.1 to 5.8 are told what to do, and older ones are named",
        arguments: [
            ("3.10.0-1160.el7.x86_64", true, false), ("4.0.9", true, false), ("4.1.0", false, true),
            ("4.19.0", false, true), ("5.8.18-generic", false, true), ("5.9.0", false, false), ("5.10.1", false, false),
            ("6.1.0", false, false), ("nonsense", false, false), ("", false, false),
        ])
    func reuse(_ release: String, isNamed: Bool, isTold: Bool) {
        #expect((IPVSFeature.reuseProblem(release: release) != nil) == isNamed)
        let facts = HostFacts(
            addresses: [], conntrackIsLiberal: false, masqueradesRandomly: true, kernelRelease: release)
        let plan = NodePlan(
            ProxyConfiguration(), mode: .ipvs, family: .ipv4, nodeName: "node1", node: nil, facts: facts)
        let rules = IPVSTable(IPVSSettings(plan, ProxyConfiguration().ipvs, facts: facts)).rules()
        let mode = IPTablesBatch.Sysctl(path: "net/ipv4/vs/conn_reuse_mode", value: "0")
        #expect(rules.sysctls.contains(mode) == isTold)
    }
}
