public import ProxyCore

/// The programs that read and commit the tables of one family in one variant.
public struct IPTablesTools: Hashable, Sendable {
    public let family: IPFamily
    public let variant: IPTablesVariant
    /// Paths of the programs.
    public let save: String
    public let restore: String
    public let version: IPTablesVersion

    /// Finds `iptables-legacy-save`, `iptables-nft-save` and so on; where the names without a variant are all that is
    /// installed, those, if `--version` says that they are of the variant.
    public static func find(
        _ family: IPFamily, _ variant: IPTablesVariant, _ access: NodeAccess = NodeAccess()
    ) async throws(IPTablesError) -> IPTablesTools {
        let stems = ["\(family.iptablesName)-\(variant.rawValue)", family.iptablesName]
        for stem in stems {
            guard let save = access.findProgram(stem + "-save"), let restore = access.findProgram(stem + "-restore")
            else { continue }
            let printed = await access.run(restore, ["--version"])
            let text = String(decoding: printed.standardOutput + printed.standardError, as: UTF8.self)
            guard let version = IPTablesVersion(printed: text), version.variant == variant else { continue }
            return IPTablesTools(family: family, variant: variant, save: save, restore: restore, version: version)
        }
        throw IPTablesError(
            kind: .binaryMissing("\(stems[0])-restore"), operation: "find the programs", family: family,
            variant: variant)
    }
}

/// What `iptables-restore --version` prints: `iptables-restore v1.8.9 (nf_tables)`.
public struct IPTablesVersion: Hashable, Sendable {
    public let major: Int
    public let minor: Int
    public let patch: Int
    /// Programs older than 1.8.0 name no variant and are of the legacy one.
    public let variant: IPTablesVariant

    init?(printed text: String) {
        guard let word = text.split(whereSeparator: \.isWhitespace).first(where: { $0.first == "v" }) else {
            return nil
        }
        let numbers = word.dropFirst().split(separator: ".").map { Int($0) }
        guard numbers.count >= 2, let major = numbers[0], let minor = numbers[1] else { return nil }
        self.major = major
        self.minor = minor
        patch = numbers.count > 2 ? numbers[2] ?? 0 : 0
        variant = text.contains("(nf_tables)") ? .nft : .legacy
    }

    /// `MASQUERADE --random-fully` came with 1.6.2.
    public var supportsRandomFully: Bool { isAtLeast(1, 6, 2) }
    /// The environment variable XTABLES_LOCKFILE came with 1.8.6.
    var respectsLockFileVariable: Bool { isAtLeast(1, 8, 6) }

    private func isAtLeast(_ major: Int, _ minor: Int, _ patch: Int) -> Bool {
        (self.major, self.minor, self.patch) >= (major, minor, patch)
    }
}
