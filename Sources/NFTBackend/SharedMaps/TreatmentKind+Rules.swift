import ProxyCore

extension TreatmentKind {
    /// Its chain, on a node.
    func chain(_ node: NodePlan) -> NFTChain { NFTChain(name: name, rules: rules(node)) }

    private func rules(_ node: NodePlan) -> [NFTRule] {
        switch self {
        case .pick(let entrance, let transport, let size):
            Self.translations(entrance, transport, size, .cluster)
        case .local(let entrance, let transport, let size):
            Self.translations(entrance, transport, size, .local)
        case .masquerade(let entrance, let transport, let size):
            [NFTRule(.setMark(node.masqueradeMark), .goto(.pick(entrance, transport, size)))]
        case .policyLocal(let entrance, let transport, let size, let local):
            Self.shortCircuits(node, to: TreatmentKind.pick(entrance, transport, size).name)
                + (local.map { [NFTRule(.goto(.local(entrance, transport, $0)))] } ?? [])
        case .firewall(let list):
            list.ranges.map { NFTRule(.matchAddress(.sourceAddress, $0), .verdict(.return)) }
                + [NFTRule(.verdict(.drop))]
        case .draw(let pool, let size): Self.draws(pool, size)
        case .remember(let pool, let transport, let timeout): Self.recall(pool, transport, timeout)
        case .forget(let pool, let transport, let timeout): Self.replacement(pool, transport, timeout)
        case .sticky(let pool, let transport, let size, let timeout):
            [NFTRule(.jump(.draw(pool, size))), NFTRule(.goto(.remember(pool, transport, timeout)))]
        case .resticky(let pool, let transport, let size, let timeout):
            [NFTRule(.jump(.draw(pool, size))), NFTRule(.goto(.forget(pool, transport, timeout)))]
        }
    }

    /// One after the other until an index has an element. The last is index 0, which every list has: in the instant of
    /// a change to fewer endpoints a higher one can be gone already.
    private static func translations(
        _ entrance: Entrance, _ transport: TransportProtocol, _ size: ListSize, _ pool: ServicePlan.Pool
    ) -> [NFTRule] {
        let map = SharedMapsName.endpoints(entrance, transport)
        let key = entrance == .address ? [NFTField.destinationAddress] : []
        return size.draws.map { modulus in
            let index = NFTField.random(modulus: modulus, offset: pool.offset)
            return NFTRule(.translateByMap(key + [.destinationPortOf(transport), index], map: map))
        }
    }

    /// Pods of this cluster and the node itself reach the cluster's endpoints whatever the policy; what the node sends
    /// to an outside address is masqueraded.
    static func shortCircuits(_ node: NodePlan, to chain: String) -> [NFTRule] {
        var rules: [NFTRule] = []
        if let match = node.localSourceMatch(isNot: false) { rules.append(NFTRule(match, .verdict(.goto(chain)))) }
        rules.append(
            NFTRule(
                .matchLocal(.sourceAddressType), .setMark(node.masqueradeMark), .verdict(.goto(chain))))
        return rules
    }

    // The packet's address fields serve as registers from here on. The destination field holds the service's id; the
    // source field takes the endpoint's. Connection tracking has the true addresses, so both fields are restored, or
    // overwritten by the translation, before the packet leaves these chains.

    /// The same draws as of `translations`, but what fails keeps what was drawn before: so the surest come first.
    private static func draws(_ pool: ServicePlan.Pool, _ size: ListSize) -> [NFTRule] {
        size.draws.reversed().map { modulus in
            let index = NFTField.random(modulus: modulus, offset: pool.offset)
            return NFTRule(
                .setAddress(.sourceAddress, .map([.destinationAddress, index], map: SharedMapsName.picks)))
        }
    }

    private static let client: [NFTField] = [.originalSourceAddress, .destinationAddress]

    /// An update of a client that is known only begins its time anew; so what is read back is the endpoint that it
    /// had, or the candidate, also where the map is full.
    private static func recall(
        _ pool: ServicePlan.Pool, _ transport: TransportProtocol, _ timeout: AffinityTimeout
    ) -> [NFTRule] {
        [
            NFTRule(update(timeout)),
            NFTRule(.setAddress(.sourceAddress, .map(client, map: SharedMapsName.affinity))),
        ] + arrival(pool, transport)
    }

    private static func replacement(
        _ pool: ServicePlan.Pool, _ transport: TransportProtocol, _ timeout: AffinityTimeout
    ) -> [NFTRule] {
        [
            NFTRule(.delete(set: SharedMapsName.affinity, key: client, datum: .sourceAddress)),
            NFTRule(update(timeout)),
        ] + arrival(pool, transport) + [
            // Not reached as long as the service has an endpoint.
            NFTRule(.setAddress(.destinationAddress, .field(.originalDestinationAddress)))
        ]
    }

    private static func update(_ timeout: AffinityTimeout) -> NFTStatement {
        .update(
            set: SharedMapsName.affinity, key: client, datum: .sourceAddress, timeoutSeconds: timeout.seconds)
    }

    /// To the endpoint whose id is in the source field; back to the caller where no endpoint has it any more.
    private static func arrival(_ pool: ServicePlan.Pool, _ transport: TransportProtocol) -> [NFTRule] {
        [
            NFTRule(.setAddress(.destinationAddress, .field(.sourceAddress))),
            NFTRule(.setAddress(.sourceAddress, .field(.originalSourceAddress))),
            NFTRule(
                .matchProtocol(transport),
                .translateByMap([.destinationAddress], map: SharedMapsName.endpointIDs(pool))),
        ]
    }
}

extension NFTStatement {
    fileprivate static func goto(_ kind: TreatmentKind) -> NFTStatement { .verdict(.goto(kind.name)) }
    fileprivate static func jump(_ kind: TreatmentKind) -> NFTStatement { .verdict(.jump(kind.name)) }
}
