import Foundation
public import ProxyCore

/// The rules of other programs that share the tables of a node, as files for iptables-restore in `Foreign/`.
public enum ForeignRules {
    /// In the order in which they are read, so that what ends a chain comes last.
    public static let programs = ["kubelet", "calico", "flannel", "docker", "firewalld"]

    /// All of them, for one family. IPv6 has the same with addresses of its own.
    public static func text(_ family: IPFamily) throws -> String {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Foreign")
        let text = try programs.map {
            try String(contentsOf: folder.appending(path: "\($0).save"), encoding: .utf8)
        }.joined()
        guard family == .ipv6 else { return text }
        return replacements.reduce(text) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
    }

    /// In their order: those with ports before those without.
    private static let replacements = [
        ("172.17.0.2:80", "[fd00:17::2]:80"), ("172.17.0.2/32", "fd00:17::2/128"), ("172.17.0.0/16", "fd00:17::/64"),
        ("192.0.2.66/32", "2001:db8::66/128"), ("192.0.2.80/32", "2001:db8::80/128"),
        ("10.244.1.9:80", "[fd00:244:1::9]:80"), ("10.244.7.2", "fd00:244:7::2"),
        ("10.244.1.0/24", "fd00:244:1::/64"), ("10.244.0.0/16", "fd00:244::/48"), ("127.0.0.0/8", "::1/128"),
        ("127.0.0.1/32", "::1/128"), ("224.0.0.0/4", "ff00::/8"),
        ("icmp-host-prohibited", "icmp6-adm-prohibited"),
    ]

    /// What is foreign in the output of iptables-save: lines in their order, without comments, our chains, their rules
    /// and the rules that lead to them.
    public static func lines(of save: String) -> [String] {
        save.split(separator: "\n").map(String.init).filter { line in
            if line.hasPrefix("#") { return false }
            return !line.split(whereSeparator: { " :".contains($0) }).contains { isOurs(String($0)) }
        }
    }

    /// The names of kube-proxy's chains, and of the one that it shares with the kubelet.
    private static func isOurs(_ word: String) -> Bool {
        let names = [
            "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ",
            "KUBE-FORWARD", "KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY", "KUBE-FIREWALL",
        ]
        return names.contains(word)
            || ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-"].contains { word.hasPrefix($0) }
    }
}
