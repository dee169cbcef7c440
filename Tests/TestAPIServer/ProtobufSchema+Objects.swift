extension ProtobufSchema {
    static func object(_ resource: APIResource) -> ProtobufSchema {
        switch resource {
        case .services: service
        case .endpointslices: endpointSlice
        case .nodes: node
        case .servicecidrs: serviceCIDR
        }
    }

    static let listMetadata = ProtobufSchema(
        Field("selfLink", 1, always: true), Field("resourceVersion", 2, always: true),
        Field("continue", 3, always: true), Field("remainingItemCount", 4, .integer))

    /// What a request that failed is answered with.
    static let status = ProtobufSchema(
        Field("metadata", 1, .message(listMetadata), always: true), Field("status", 2, always: true),
        Field("message", 3, always: true), Field("reason", 4, always: true),
        Field(
            "details", 5,
            .message(
                ProtobufSchema(
                    Field("name", 1, always: true), Field("group", 2, always: true), Field("kind", 3, always: true),
                    Field(
                        "causes", 4,
                        .message(
                            ProtobufSchema(
                                Field("reason", 1, always: true), Field("message", 2, always: true),
                                Field("field", 3, always: true)))),
                    Field("retryAfterSeconds", 5, .integer, always: true), Field("uid", 6, always: true)))),
        Field("code", 6, .integer, always: true))

    private static let metadata = ProtobufSchema(
        Field("name", 1, always: true), Field("generateName", 2, always: true), Field("namespace", 3, always: true),
        Field("selfLink", 4, always: true), Field("uid", 5, always: true), Field("resourceVersion", 6, always: true),
        Field("generation", 7, .integer, always: true), Field("creationTimestamp", 8, .time, always: true),
        Field("deletionTimestamp", 9, .time), Field("deletionGracePeriodSeconds", 10, .integer),
        Field("labels", 11, .map), Field("annotations", 12, .map), Field("finalizers", 14),
        Field(
            "managedFields", 17,
            .message(
                ProtobufSchema(
                    Field("manager", 1, always: true), Field("operation", 2, always: true),
                    Field("apiVersion", 3, always: true), Field("time", 4, .time),
                    Field("fieldsType", 6, always: true), Field("fieldsV1", 7, .rawJSON),
                    Field("subresource", 8, always: true)))))

    private static let condition = ProtobufSchema(
        Field("type", 1, always: true), Field("status", 2, always: true),
        Field("observedGeneration", 3, .integer, always: true), Field("lastTransitionTime", 4, .time, always: true),
        Field("reason", 5, always: true), Field("message", 6, always: true))

    private static let service = ProtobufSchema(
        Field("metadata", 1, .message(metadata), always: true),
        Field("spec", 2, .message(serviceSpec), always: true),
        Field(
            "status", 3,
            .message(
                ProtobufSchema(
                    Field("loadBalancer", 1, .message(loadBalancer), always: true),
                    Field("conditions", 2, .message(condition)))),
            always: true))

    private static let serviceSpec = ProtobufSchema(
        Field(
            "ports", 1,
            .message(
                ProtobufSchema(
                    Field("name", 1, always: true), Field("protocol", 2, always: true),
                    Field("port", 3, .integer, always: true), Field("targetPort", 4, .intOrString, always: true),
                    Field("nodePort", 5, .integer, always: true), Field("appProtocol", 6)))),
        Field("selector", 2, .map), Field("clusterIP", 3, always: true), Field("type", 4, always: true),
        Field("externalIPs", 5), Field("sessionAffinity", 7, always: true),
        Field("loadBalancerIP", 8, always: true), Field("loadBalancerSourceRanges", 9),
        Field("externalName", 10, always: true), Field("externalTrafficPolicy", 11, always: true),
        Field("healthCheckNodePort", 12, .integer, always: true),
        Field("publishNotReadyAddresses", 13, .bool, always: true),
        Field(
            "sessionAffinityConfig", 14,
            .message(
                ProtobufSchema(
                    Field("clientIP", 1, .message(ProtobufSchema(Field("timeoutSeconds", 1, .integer))))))),
        Field("ipFamilyPolicy", 17), Field("clusterIPs", 18), Field("ipFamilies", 19),
        Field("allocateLoadBalancerNodePorts", 20, .bool), Field("loadBalancerClass", 21),
        Field("internalTrafficPolicy", 22), Field("trafficDistribution", 23))

    private static let loadBalancer = ProtobufSchema(
        Field(
            "ingress", 1,
            .message(
                ProtobufSchema(
                    Field("ip", 1, always: true), Field("hostname", 2, always: true), Field("ipMode", 3)))))

    private static let endpointSlice = ProtobufSchema(
        Field("metadata", 1, .message(metadata), always: true),
        Field("endpoints", 2, .message(endpoint)),
        Field(
            "ports", 3,
            .message(
                ProtobufSchema(
                    Field("name", 1), Field("protocol", 2), Field("port", 3, .integer), Field("appProtocol", 4)))),
        Field("addressType", 4, always: true))

    private static let endpoint = ProtobufSchema(
        Field("addresses", 1),
        Field(
            "conditions", 2,
            .message(
                ProtobufSchema(Field("ready", 1, .bool), Field("serving", 2, .bool), Field("terminating", 3, .bool))),
            always: true),
        Field("hostname", 3), Field("nodeName", 6), Field("zone", 7),
        Field(
            "hints", 8,
            .message(
                ProtobufSchema(
                    Field("forZones", 1, .message(ProtobufSchema(Field("name", 1, always: true)))),
                    Field("forNodes", 2, .message(ProtobufSchema(Field("name", 1, always: true))))))))

    private static let node = ProtobufSchema(
        Field("metadata", 1, .message(metadata), always: true),
        Field(
            "spec", 2,
            .message(
                ProtobufSchema(
                    Field("podCIDR", 1, always: true), Field("externalID", 2, always: true),
                    Field("providerID", 3, always: true), Field("unschedulable", 4, .bool, always: true),
                    Field(
                        "taints", 5,
                        .message(
                            ProtobufSchema(
                                Field("key", 1, always: true), Field("value", 2, always: true),
                                Field("effect", 3, always: true), Field("timeAdded", 4, .time)))),
                    Field("podCIDRs", 7))),
            always: true),
        Field("status", 3, .message(nodeStatus), always: true))

    private static let nodeStatus = ProtobufSchema(
        Field("phase", 3, always: true),
        Field(
            "addresses", 5,
            .message(ProtobufSchema(Field("type", 1, always: true), Field("address", 2, always: true)))),
        Field(
            "daemonEndpoints", 6,
            .message(
                ProtobufSchema(
                    Field(
                        "kubeletEndpoint", 1, .message(ProtobufSchema(Field("Port", 1, .integer, always: true))),
                        always: true))),
            always: true),
        Field(
            "nodeInfo", 7,
            .message(
                ProtobufSchema(
                    Field("machineID", 1, always: true), Field("systemUUID", 2, always: true),
                    Field("bootID", 3, always: true), Field("kernelVersion", 4, always: true),
                    Field("osImage", 5, always: true), Field("containerRuntimeVersion", 6, always: true),
                    Field("kubeletVersion", 7, always: true), Field("kubeProxyVersion", 8, always: true),
                    Field("operatingSystem", 9, always: true), Field("architecture", 10, always: true))),
            always: true))

    private static let serviceCIDR = ProtobufSchema(
        Field("metadata", 1, .message(metadata), always: true),
        Field("spec", 2, .message(ProtobufSchema(Field("cidrs", 1))), always: true),
        Field("status", 3, .message(ProtobufSchema(Field("conditions", 1, .message(condition)))), always: true))
}
