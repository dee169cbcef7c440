import EndpointWatcher

// The API's Go types do not tell an empty text, or 0, from a missing one unless they hold a pointer: JSON leaves such
// a field out, protobuf sends it empty. So an empty field is a missing one here, but for those with a pointer.

extension WireMetadata {
    init(_ proto: ProtoObjectMeta) {
        self.init()
        name = .text(proto.name)
        namespace = .text(proto.namespace)
        resourceVersion = .text(proto.resourceVersion)
        if !proto.labels.isEmpty { labels = .value(Labels(proto.labels)) }
        if !proto.annotations.isEmpty { annotations = .value(Annotations(proto.annotations)) }
    }
}

extension WireService {
    init(_ proto: ProtoService) {
        self.init()
        if proto.hasMetadata { metadata = .value(WireMetadata(proto.metadata)) }
        if proto.hasSpec { spec = .value(Spec(proto.spec)) }
        if proto.hasStatus { status = .value(Status(proto.status)) }
    }
}

extension WireService.Spec {
    init(_ proto: ProtoServiceSpec) {
        self.init()
        type = .text(proto.type)
        clusterIP = .text(proto.clusterIp)
        clusterIPs = .texts(proto.clusterIps)
        ipFamilies = .texts(proto.ipFamilies)
        if !proto.ports.isEmpty { ports = .value(proto.ports.map { .value(WireService.Port($0)) }) }
        externalIPs = .texts(proto.externalIps)
        loadBalancerSourceRanges = .texts(proto.loadBalancerSourceRanges)
        externalTrafficPolicy = .text(proto.externalTrafficPolicy)
        internalTrafficPolicy = .text(proto.internalTrafficPolicy)
        if proto.healthCheckNodePort != 0 { healthCheckNodePort = .value(Int(proto.healthCheckNodePort)) }
        sessionAffinity = .text(proto.sessionAffinity)
        if proto.hasSessionAffinityConfig {
            var config = WireService.SessionAffinityConfig()
            if proto.sessionAffinityConfig.hasClientIp {
                var clientIP = WireService.SessionAffinityConfig.ClientIP()
                let seconds = proto.sessionAffinityConfig.clientIp
                if seconds.hasTimeoutSeconds { clientIP.timeoutSeconds = .value(Int(seconds.timeoutSeconds)) }
                config.clientIP = .value(clientIP)
            }
            sessionAffinityConfig = .value(config)
        }
    }
}

extension WireService.Port {
    init(_ proto: ProtoServicePort) {
        self.init()
        name = proto.name
        `protocol` = proto.protocol
        if proto.hasPort { port = WireNumber(Int(proto.port)) }
        if proto.hasNodePort { nodePort = WireNumber(Int(proto.nodePort)) }
    }
}

extension WireService.Status {
    init(_ proto: ProtoServiceStatus) {
        self.init()
        var balancer = WireService.Status.LoadBalancer()
        let ingress = proto.loadBalancer.ingress.map { item in
            var wire = WireService.Status.Ingress()
            wire.ip = item.ip
            wire.ipMode = item.hasIpMode ? item.ipMode : nil
            return Lenient.value(wire)
        }
        if !ingress.isEmpty { balancer.ingress = .value(ingress) }
        loadBalancer = .value(balancer)
    }
}

extension WireEndpointSlice {
    init(_ proto: ProtoEndpointSlice) {
        self.init()
        if proto.hasMetadata { metadata = .value(WireMetadata(proto.metadata)) }
        addressType = .text(proto.addressType)
        ports = .value(proto.ports.map { .value(Port($0)) })
        endpoints = .value(proto.endpoints.map { .value(Endpoint($0)) })
    }
}

extension WireEndpointSlice.Port {
    init(_ proto: ProtoEndpointPort) {
        self.init()
        name = proto.hasName ? proto.name : nil
        `protocol` = proto.hasProtocol ? proto.protocol : nil
        port = proto.hasPort ? WireNumber(Int(proto.port)) : nil
    }
}

extension WireEndpointSlice.Endpoint {
    init(_ proto: ProtoEndpoint) {
        self.init()
        addresses = proto.addresses
        nodeName = proto.hasNodeName ? proto.nodeName : nil
        if proto.hasConditions {
            var wire = Conditions()
            wire.ready = proto.conditions.hasReady ? proto.conditions.ready : nil
            wire.serving = proto.conditions.hasServing ? proto.conditions.serving : nil
            wire.terminating = proto.conditions.hasTerminating ? proto.conditions.terminating : nil
            conditions = wire
        }
        if proto.hasHints {
            var wire = Hints()
            wire.forZones = proto.hints.forZones.map(Hints.Hint.init)
            wire.forNodes = proto.hints.forNodes.map(Hints.Hint.init)
            hints = wire
        }
    }
}

extension WireEndpointSlice.Endpoint.Hints.Hint {
    init(_ proto: ProtoEndpointHint) {
        self.init()
        name = proto.name
    }
}

extension WireNode {
    init(_ proto: ProtoNode) {
        self.init()
        if proto.hasMetadata { metadata = .value(WireMetadata(proto.metadata)) }
        if proto.hasSpec {
            var wire = Spec()
            wire.podCIDR = .text(proto.spec.podCidr)
            wire.podCIDRs = .texts(proto.spec.podCidrs)
            spec = .value(wire)
        }
        if proto.hasStatus {
            var wire = Status()
            let addresses = proto.status.addresses.map { item in
                var address = Status.Address()
                address.type = item.type
                address.address = item.address
                return Lenient.value(address)
            }
            wire.addresses = .value(addresses)
            status = .value(wire)
        }
    }
}

extension WireServiceCIDR {
    init(_ proto: ProtoServiceCIDR) {
        self.init()
        if proto.hasMetadata { metadata = .value(WireMetadata(proto.metadata)) }
        if proto.hasSpec {
            var wire = Spec()
            wire.cidrs = .texts(proto.spec.cidrs)
            spec = .value(wire)
        }
    }
}

extension Lenient<String> {
    /// A text that is missing where it is empty.
    fileprivate static func text(_ text: String) -> Self { text.isEmpty ? .missing : .value(text) }
}

extension Lenient<[Lenient<String>]> {
    /// A list that is missing where it is empty.
    fileprivate static func texts(_ texts: [String]) -> Self {
        texts.isEmpty ? .missing : .value(texts.map { .value($0) })
    }
}
