extension FlowQuery {
    /// This query and a later one of the same family in one: what the later one says of a destination counts.
    public func followed(by later: FlowQuery) -> FlowQuery {
        FlowQuery(
            family: family, claims: claims.merging(later.claims) { $1 }, nodePortAddresses: later.nodePortAddresses,
            serviceRanges: later.isFull ? later.serviceRanges : serviceRanges, isFull: isFull || later.isFull)
    }
}
