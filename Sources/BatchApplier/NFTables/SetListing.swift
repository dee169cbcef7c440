import CMnl

/// Tells whether a listing of a set has every element once.
///
/// The kernel lists a hash table piece by piece, and counts how many elements it has listed. When the table grows
/// between two pieces, which it does a while after a commit, the order is another: as many elements are listed again as
/// are left out, and nothing in the messages says so (nft_rhash_walk; rhashtable_walk_next promises no more).
struct SetListing {
    /// Hashes of the keys: two keys that share one only have the set listed again.
    private var keys: Set<Int> = []
    /// True if an element came twice: then others may be missing.
    private(set) var hasRepetitions = false

    /// Takes note of a message with elements.
    mutating func received(_ message: NetlinkMessage) {
        guard let list = message.netfilterAttributes[Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)] else { return }
        for element in list.nested {
            guard let key = element.nested[Int(NFTA_SET_ELEM_KEY.rawValue)] else { continue }
            // Of ranges one can end where another begins.
            let flags = element.nested[Int(NFTA_SET_ELEM_FLAGS.rawValue)]
            var hasher = Hasher()
            hasher.combine(Array(key.payload))
            hasher.combine(flags.map { Array($0.payload) })
            if !keys.insert(hasher.finalize()).inserted { hasRepetitions = true }
        }
    }
}
