import ProxyCore

extension String {
    /// The service port that a chain's name names, as `namespace/name:port` or `namespace/name`.
    ///
    /// Chains of one service are called `KIND-NAMESPACE/NAME/PROTOCOL/PORT`; in kube-proxy's tables a hash and a hyphen
    /// stand before the namespace, and `__IP/PORT` behind the port where an endpoint is meant.
    var servicePortOfChain: String? {
        guard let hyphen = firstIndex(of: "-"), contains("/") else { return nil }
        var rest = self[index(after: hyphen)...]
        let hash = rest.prefix(8)
        if hash.count == 8, hash.allSatisfy({ ("A"..."Z").contains($0) || ("2"..."7").contains($0) }),
            rest.dropFirst(8).first == "-"
        {
            rest = rest.dropFirst(9)
        }
        let parts = rest.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count >= 4, ["tcp", "udp", "sctp"].contains(parts[2]) else { return nil }
        let port = parts[3].firstRange(of: "__").map { parts[3][..<$0.lowerBound] } ?? parts[3]
        let name = port.isEmpty ? "\(parts[0])/\(parts[1])" : "\(parts[0])/\(parts[1]):\(port)"
        return name.servicePortOfComment
    }

    /// The service port that an element's comment is.
    var servicePortOfComment: String? {
        let parts = split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let names = parts[1].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false) + [parts[0]]
        return names.allSatisfy { ObjectName.isValid(String($0)) } ? self : nil
    }
}
