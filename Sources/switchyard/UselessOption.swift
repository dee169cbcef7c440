import BatchApplier
import ProxyCore

/// An option that is given and of which a mode makes no use.
struct UselessOption {
    let name: String
    let reason: String

    static func variant(_ given: IPTablesVariant?, in mode: ProxyMode) -> UselessOption? {
        guard given != nil, mode == .nftables else { return nil }
        return UselessOption(name: "--variant", reason: "mode nftables has no variants")
    }

    static func nfacct(_ given: Bool?, in mode: ProxyMode) -> UselessOption? {
        guard let given, mode != .iptables else { return nil }
        return UselessOption(
            name: given ? "--nfacct" : "--no-nfacct", reason: "mode \(mode.rawValue) has no such rules")
    }

    /// Throws if there are any.
    static func refuse(_ options: [UselessOption?]) throws(InputError) {
        let useless = options.compactMap(\.self)
        guard !useless.isEmpty else { return }
        throw InputError(useless.map { Diagnostic(.error, at: "", "\($0.name): \($0.reason); say --mode iptables") })
    }
}
