/// What a comparison must know of the chains that its rule sets leave out: those that are equal, and those beyond what
/// is compared rule by rule.
struct LeftOutChains {
    /// The number of rules in chains of ours that are left out, by table.
    var wantedRules: [String: Int]
    var foundRules: [String: Int]
    /// All that is wanted.
    let wanted: WantedChains
    /// The places of the wanted chains that are not left out.
    let compared: Set<Int>

    /// True if a rule of the service port was found in a chain that is left out. Rules of such chains are taken to
    /// have the comments that are wanted.
    func isFound(_ service: String) -> Bool {
        wanted.hasRule(of: service) { place in
            switch wanted.chains[place].found {
            case .nothing, .empty: false
            case .equal, .different, .notKept: !compared.contains(place)
            }
        }
    }
}
