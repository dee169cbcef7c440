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

    @Test("is a setting in kernels before 5.9", arguments: ["5.8.18-generic", "4.19.0", "3.10.0-1160.el7.x86_64"])
    func reuse(_ release: String) {
        #expect(IPVSFeature.reuseProblem(release: release, mode: "1")?.contains("conn_reuse_mode to 0") == true)
        #expect(IPVSFeature.reuseProblem(release: release, mode: nil)?.hasSuffix("it is better replaced") == true)
        #expect(IPVSFeature.reuseProblem(release: release, mode: "0") == nil)
        for newer in ["5.9.0", "5.10.1", "6.1.0", "nonsense"] {
            #expect(IPVSFeature.reuseProblem(release: newer, mode: "1") == nil)
        }
    }
}
