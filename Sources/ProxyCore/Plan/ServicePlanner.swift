/// Decides what becomes of packets to a service port: the whole policy of the proxy, for every mode.
public enum ServicePlanner {
    /// The plans of a Service's ports in the context's family, in the order of its ports; none if it is not proxied or
    /// has no cluster IP in the family.
    public static func plans(
        for service: Service, slices: some Collection<EndpointSlice>, in context: PlanContext
    ) -> [ServicePlan] {
        guard service.isProxied, let clusterIP = service.clusterIPs.first(where: { $0.family == context.family }) else {
            return []
        }
        return service.ports.indices.compactMap { index in
            // The API refuses two ports of one name and protocol; of such a pair the later counts.
            let port = service.ports[index]
            let isRepeated = service.ports[(index + 1)...].contains {
                $0.name == port.name && $0.protocol == port.protocol
            }
            return isRepeated ? nil : plan(port, of: service, clusterIP, slices, context)
        }
    }

    private static func plan(
        _ port: Service.Port, of service: Service, _ clusterIP: IPAddress, _ slices: some Collection<EndpointSlice>,
        _ context: PlanContext
    ) -> ServicePlan {
        let name = ServicePortName(service: service.name, port: port.name, protocol: port.protocol)
        let externalIPs =
            context.allowsExternalIPs ? service.externalIPs.filter { $0.family == context.family } : []
        let loadBalancerIPs = service.loadBalancerIPs.filter { $0.family == context.family }
        let isExternal = port.nodePort != 0 || !externalIPs.isEmpty || !loadBalancerIPs.isEmpty
        let internalLocal = service.internalTrafficPolicy == .local
        let externalLocal = service.externalTrafficPolicy == .local

        // Policy Local needs the cluster's endpoints too, for the sources that are short-circuited to them.
        let fallsBack = context.traits.localWithoutLocal == .fallBackToCluster
        let selection = EndpointSelection(
            slices: slices, name: name, usesCluster: !internalLocal || isExternal,
            usesLocal: internalLocal || externalLocal && isExternal, in: context)

        func verdict(local: Bool) -> ServicePlan.Verdict {
            guard selection.hasEndpoints else {
                return context.traits.rejectsWithoutEndpoints ? .reject : .balance(.cluster)
            }
            guard local else { return .balance(.cluster) }
            if selection.hasLocalEndpoints { return .balance(.local) }
            return fallsBack ? .balance(.cluster) : .drop
        }

        return ServicePlan(
            name: name, family: context.family, clusterIP: clusterIP, port: port.number, externalIPs: externalIPs,
            loadBalancerIPs: loadBalancerIPs, nodePort: port.nodePort,
            healthCheckNodePort: service.healthCheckNodePort, affinitySeconds: service.affinitySeconds,
            hasEndpoints: selection.hasEndpoints, internalTraffic: verdict(local: internalLocal),
            internalMasquerade: context.masqueradeAll
                ? .everybody : context.detectsLocalTraffic ? .notLocal : .nobody,
            externalTraffic: isExternal
                ? .init(
                    verdict: verdict(local: externalLocal),
                    shortCircuitsLocalSources: externalLocal && selection.hasEndpoints, masquerades: !externalLocal)
                : nil,
            sourceRanges: sourceRanges(of: service, hasEndpoints: selection.hasEndpoints, loadBalancerIPs, context),
            endpoints: selection.endpoints, endpointCount: selection.count)
    }

    private static func sourceRanges(
        of service: Service, hasEndpoints: Bool, _ loadBalancerIPs: [IPAddress], _ context: PlanContext
    ) -> ServicePlan.SourceRanges? {
        let cidrs = service.loadBalancerSourceRanges.filter { $0.family == context.family }
        guard !cidrs.isEmpty, !loadBalancerIPs.isEmpty, !cidrs.contains(where: \.isEverything),
            hasEndpoints || context.traits.keepsSourceRangesWithoutEndpoints
        else { return nil }
        return .init(cidrs: cidrs, admitNode: cidrs.contains { $0.contains(context.nodeIP) })
    }
}
