/// The program nft, which commits what there is as text.
public struct NFTProgram: Sendable {
    private let path: String
    private let access: NodeAccess

    public static func find(_ access: NodeAccess = NodeAccess()) throws(NFTProgramError) -> NFTProgram {
        guard let path = access.findProgram("nft") else {
            throw NFTProgramError(sentence: "The program nft is missing.")
        }
        return NFTProgram(path: path, access: access)
    }

    /// Commits lines as one transaction (`nft -f -`): all of them or, if it throws, none.
    public func commit(_ text: [UInt8]) async throws(NFTProgramError) {
        let result = await access.run(path, ["-f", "-"], input: InputText(text))
        guard !result.succeeded else { return }
        throw NFTProgramError(sentence: "The program nft \(Self.reason(result)); nothing was changed.")
    }

    private static func reason(_ result: ProcessResult) -> String {
        switch result.ending {
        case .exited(let status):
            let faults = result.errorText.split(separator: "\n").filter { $0.contains("Error: ") }
            let first =
                faults.first ?? result.errorText.split(separator: "\n").first ?? "nothing, with status \(status)"
            let others = faults.count > 1 ? ", and \(faults.count - 1) more" : ""
            return "refused the rules and said: \(first)\(others)"
        case .signalled(let signal): return "was ended by signal \(signal)"
        case .timedOut: return "took too long and was ended"
        case .notStarted: return "could not be started: \(result.errorText.trimmed)"
        }
    }
}

/// Why nft has committed nothing.
public struct NFTProgramError: Error, Hashable, Sendable, CustomStringConvertible {
    public let sentence: String

    public var description: String { sentence }
}
