import TestSupport

extension ModeChangeLab {
    /// What modes that do not serve have left, as `cleanup` sees it and as the kernel's own programs do.
    func leftovers(servedIn serving: Serving) throws -> [String] {
        var found: [String] = []
        for mode in ["iptables", "ipvs", "nftables"] where mode != serving.mode {
            let result = try node.run([BuiltProducts.switchyard, "cleanup", "--mode", mode, "--dry-run"])
            let lines = result.output.split(separator: "\n").map { "cleanup --mode \(mode): \($0)" }
            found += result.status == 0 ? lines : lines + ["cleanup --mode \(mode): \(result.errors)"]
        }
        // A kernel without nf_tables has none.
        let listing = try node.require(
            ["sh", "-c"] + [
                """
                ipvsadm --save -n | sed 's/^/ipvs /'
                ipset list -n | sed 's/^/set /'
                (ip route show table local; ip -6 route show table local) |
                    grep -E 'kube-ipvs0|proto 83' | sed 's/^/route /'
                ip -o link | grep kube-ipvs0 | sed 's/^/link /'
                nft list tables 2>/dev/null | sed 's/^/nft /'
                nfacct list 2>/dev/null | sed 's/^/nfacct /'
                for variant in legacy nft; do
                    for program in iptables ip6tables; do
                        $program-$variant-save 2>/dev/null | sed "s/^/$variant /"
                    done
                done
                """
            ])
        found += listing.split(separator: "\n").map(String.init).filter { isLeftover($0, serving) }
        return found
    }

    private func isLeftover(_ line: String, _ serving: Serving) -> Bool {
        let words = line.split(separator: " ").map(String.init)
        switch words.first {
        case "ipvs", "link", "route", "set": return serving.mode != "ipvs"
        case "nfacct": return serving.mode != "iptables"
        case "nft" where words.count == 4 && words[1] == "table":
            return serving.mode != "nftables" && ["switchyard", "kube-proxy"].contains(words[3])
        default:
            // The kubelet has this chain too.
            guard line.contains("KUBE-"), !line.contains("KUBE-FIREWALL") else { return false }
            guard serving.mode != "nftables", words.first == serving.variant else { return true }
            return serving.mode == "iptables"
                ? Self.ofIPVS.contains(where: line.contains) : Self.ofIPTables.contains(where: line.contains)
        }
    }

    /// What rules have that only ipvs mode writes, and only iptables mode.
    private static let ofIPVS = [
        "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES", "KUBE-IPVS", "match-set",
        "kube-proxy firewall rules",
    ]
    private static let ofIPTables = [
        "KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES",
        "--ctstate NEW -m comment", "kubernetes load balancer firewall",
    ]
}
