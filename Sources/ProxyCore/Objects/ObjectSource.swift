/// The kinds of objects that a proxy reads.
public enum ObjectKind: String, CaseIterable, Hashable, Sendable {
    case service = "Service"
    case endpointSlice = "EndpointSlice"
    case node = "Node"
    case serviceCIDR = "ServiceCIDR"
}

/// What a source of objects reports, in the order in which it holds.
public enum SourceUpdate: Hashable, Sendable {
    /// Changes that belong together, and when the last of them was received.
    case changes([ObjectChange], receivedAt: ContinuousClock.Instant)
    /// Every object of the kind that exists has been reported, and those that are gone as deleted. Repeated after each
    /// fresh list.
    case complete(ObjectKind)
    /// An object, or a part of one, is left out: said once for each version of the object.
    case diagnostic(Diagnostic)
    /// The source of a kind cannot be followed, as a sentence. What was reported before still holds as far as anybody
    /// knows; the next change or `complete` of the kind says that it can be followed again.
    case interrupted(ObjectKind, reason: String)
}

/// Where objects come from: an API server, or manifests.
public protocol ObjectSource: Sendable {
    /// Reports what there is and then every change, until the task is cancelled.
    ///
    /// `deliver` returns when the update was taken over; a source must bear that this takes a while, and keeps no
    /// more than it has read from its peer. Throws only what no waiting can mend, such as an unreadable kubeconfig.
    func run(_ deliver: @escaping @Sendable (SourceUpdate) async -> Void) async throws
}
