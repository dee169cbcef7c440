import BatchApplier
import IPVSBackend
import ProxyCore

extension NodeSupport {
    /// What this node has and lacks for ipvs mode, the programs of iptables included.
    static func ipvs(
        _ family: IPFamily, _ scheduler: IPVSScheduler, _ variant: Variant
    ) async -> NodeSupport {
        let programs = await iptables(family, variant)
        guard case .known(var present, var missing) = programs else { return programs }
        let tools = try? await IPTablesTools.find(family, variant.chosen)
        let features = IPVSFeature.all(scheduler).filter { tools != nil || !$0.isOfRules }
        do throws(IPVSError) {
            let answers = try await IPVSTrial(family, tools: tools).answers(to: features.map(\.step))
            for case .unknown(let reason) in answers { return .unknown(reason) }
            let absences = IPVSFeature.absences(features, answers, family)
            if absences.isEmpty, tools != nil { present.append("this kernel has everything that ipvs mode uses") }
            missing += absences
        } catch {
            return .unknown(error.sentence)
        }
        missing += [IPVSFeature.reuseProblem(release: NodeFacts.kernelRelease())].compactMap(\.self)
        return .known(present: present, missing: missing)
    }
}
