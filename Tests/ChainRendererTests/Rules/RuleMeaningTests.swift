import ChainRenderer
import ProxyCore
import Testing

private func meaning(_ text: String) -> RuleMeaning { RuleMeaning(ArraySlice(Array(text.utf8))) }

@Suite("Rule meanings")
struct RuleMeaningTests {
    @Test(
        "are equal for two spellings of one rule",
        arguments: [
            ("-d 10.0.0.1 -j ACCEPT", "-d 10.0.0.1/32 -j ACCEPT"),
            ("-d 10.0.0.0/24 -j ACCEPT", "--destination 10.0.0.7/255.255.255.0 --jump ACCEPT"),
            ("-s 0.0.0.0/0 -p all -i + -j DROP", "-j DROP"),
            ("-d fd00::1 -j DROP", "-d fd00:0::1/128 -j DROP"),
            ("-m tcp -p tcp --dport 80 -j DROP", "-p 6 --dport 80 -m comment --comment \"a \\\" -j b\" -j DROP"),
            ("-p tcp -m multiport --dports 443,80,81:90 -j DROP", "-p tcp -m multiport --dports 80:90,443 -j DROP"),
            ("-p tcp --syn -j DROP", "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP"),
            ("-p icmp --icmp-type echo-request -j DROP", "-p 1 -m icmp --icmp-type 8 -j DROP"),
            ("-p icmpv6 --icmpv6-type 133 -j DROP", "-p ipv6-icmp --icmpv6-type router-solicitation -j DROP"),
            ("-m conntrack --ctstate RELATED,ESTABLISHED -j DROP", "-m state --state ESTABLISHED,RELATED -j DROP"),
            ("-m mark --mark 0x4000/0x4000 -j DROP", "-m mark --mark 16384/0x00004000 -j DROP"),
            ("-j MARK --or-mark 0x4000", "-j MARK --set-xmark 0x4000/0x4000"),
            ("-j MARK --xor-mark 0x00004000", "-j MARK --set-xmark 0x4000/0x0"),
            ("-j MARK --and-mark 0xffffbfff", "-j MARK --set-xmark 0x0/0x4000"),
            ("-j MARK --set-mark 0x1", "-j MARK --set-xmark 0x1/0xffffffff"),
            ("-j MARK --set-mark 0x4000/0x4000", "-j MARK --or-mark 0x4000"),
            ("-j REJECT", "-j REJECT --reject-with icmp-port-unreachable"),
            ("-j REJECT", "-j REJECT --reject-with icmp6-port-unreachable"),
            ("-p tcp -j REJECT --reject-with tcp-rst", "-p tcp -j REJECT --reject-with tcp-reset"),
            (
                "-m statistic --mode random --probability 0.3333333333 -j A",
                "-m statistic --mode random --probability 0.33333333349 -j A"
            ),
            (
                "-m recent --name A --rcheck --seconds 10 --reap -j A",
                "-m recent --rcheck --seconds 10 --reap --name A --mask 255.255.255.255 --rsource -j A"
            ),
            (
                "-m recent --set --name A -j B",
                "-m recent --set --name A --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource -j B"
            ),
            ("-m limit --limit 5/m -j LOG", "-m limit --limit 5/minute --limit-burst 5 -j LOG"),
            ("-m nfacct --nfacct-name a -j DROP", "-m nfacct --nfacct-name  a -j DROP"),
            ("-m addrtype --dst-type local,unicast -j A", "-m addrtype --dst-type UNICAST,LOCAL -j A"),
            ("-j DNAT --to-destination 10.0.0.1:80-80", "-j DNAT --to-destination 10.0.0.1-10.0.0.1:80"),
            ("-j NOTRACK", "-j CT --notrack"),
            ("-m owner --uid-owner 1 --gid-owner 2 -j A", "-m owner --gid-owner 2 --uid-owner 1 -j A"),
            (
                "-m ipvs --vaddr 10.0.0.1 --vproto tcp --vport 80 -j A",
                "-m ipvs --vproto 6 --vaddr 10.0.0.1/32 --vport 80 -j A"
            ),
            ("-s ! 10.0.0.1 -j A", "! -s 10.0.0.1/32 -j A"),
            ("-m comment --comment -j -j A", "-j A"),
        ])
    func equal(_ one: String, _ other: String) {
        #expect(meaning(one) == meaning(other))
        #expect(meaning(one).hashValue == meaning(other).hashValue)
    }

    @Test(
        "differ where the rules do",
        arguments: [
            ("-d 10.0.0.1 -j A", "-d 10.0.0.2 -j A"), ("-d 10.0.0.1 -j A", "-s 10.0.0.1 -j A"),
            ("-d 10.0.0.1 -j A", "! -d 10.0.0.1 -j A"), ("-d 10.0.0.1 -j A", "-d 10.0.0.1 -j B"),
            ("-j A", "-g A"), ("-j A", ""), ("-j ACCEPT", "-j DROP"), ("-i eth0 -j A", "-i eth0+ -j A"),
            ("-j MARK --xor-mark 0x4000", "-j MARK --or-mark 0x4000"),
            ("-j MASQUERADE", "-j MASQUERADE --random-fully"), ("-j REJECT", "-j REJECT --reject-with tcp-reset"),
            ("-p tcp --dport 80 -j A", "-p tcp --sport 80 -j A"),
            ("-p tcp --dport 80 -j A", "-p udp --dport 80 -j A"),
            ("-m conntrack --ctstate NEW -j A", "-m conntrack ! --ctstate NEW -j A"),
            (
                "-m statistic --mode random --probability 0.5 -j A",
                "-m statistic --mode random --probability 0.500000001 -j A"
            ),
            ("-m recent --rcheck --name A -j A", "-m recent --update --name A -j A"),
            ("-m u32 --u32 0=1 -j A", "-m u32 --u32 0=2 -j A"),
            ("-m addrtype --dst-type LOCAL -j A", "-m addrtype --src-type LOCAL -j A"),
            ("-m addrtype --dst-type LOCAL -j A", "-m addrtype --dst-type LOCAL --limit-iface-in -j A"),
            ("-s ::ffff:0:0/96 -j A", "-j A"),
            ("-m ipvs --vaddr 10.0.0.1 --vport 80 -j A", "-m ipvs --vaddr 10.0.0.1 --vport 81 -j A"),
            ("-m ipvs --vaddr 10.0.0.1 -j A", "-m ipvs ! --vaddr 10.0.0.1 -j A"),
            ("-j DNAT --to-destination 10.0.0.1", "-j DNAT --to-destination 10.0.0.1:1"),
        ])
    func different(_ one: String, _ other: String) {
        #expect(meaning(one) != meaning(other))
    }

    @Test(
        "say what is not understood",
        arguments: [
            ("-m u32 --u32 0=1 -j ACCEPT", false), ("-m bpf --bytecode \"1,6 0 0 0\" -j ACCEPT", false),
            ("--what -j ACCEPT", false), ("-p tcp --dport x -j ACCEPT", false), ("-s 10.0.0.0/33 -j ACCEPT", false),
            ("-j TPROXY --on-port 1 --on-ip 127.0.0.1", false), ("-j TCPMSS --clamp-mss-to-pmtu", false),
            ("-m mark --mark x -j ACCEPT", false), ("-m conntrack --ctstate LATER -j ACCEPT", false),
            ("-j DNAT", false), ("-p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00::1]:80", true),
            ("-m comment --comment x -m addrtype --dst-type LOCAL -g CHAIN", true), ("", true),
            ("-m set --match-set a src,dst -j ACCEPT", true),
        ])
    func understood(_ text: String, _ isUnderstood: Bool) {
        #expect(meaning(text).isUnderstood == isUnderstood)
    }

    @Test("name the comment, the target and the place that a translation leads to")
    func parts() {
        let rule = meaning(
            #"-p tcp -m comment --comment "a \"quoted\" \\ thing" -j DNAT --to-destination [fd00::1]:80 --persistent"#)
        #expect(rule.comment == #"a "quoted" \ thing"#)
        var target = NATTarget()
        if let address = IPAddress("fd00::1") { target.addresses = .init(first: address, last: address) }
        target.ports = 80...80
        target.isPersistent = true
        #expect(rule.target == .dnat(target))
        #expect(meaning("-j CHAIN").target?.chain == "CHAIN")
        #expect(meaning("-j TCPMSS --clamp-mss-to-pmtu").target?.chain == nil)
    }
}

/// Rules that other programs write, as iptables-save prints them.
@Suite("Rules of other programs")
struct ForeignRuleTests {
    @Test(
        "are understood, or say that they are not",
        arguments: [
            // calico
            (#"-m comment --comment "cali:vjrMJCRpqwy5oRoX" -j MARK --set-xmark 0x0/0xe0000"#, true),
            (#"-m comment --comment "cali:9Gd" -m mark --mark 0x10000/0x10000 -j ACCEPT"#, true),
            (
                "-m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst -j MASQUERADE --random-fully",
                true
            ),
            ("-i cali+ -m comment --comment x -g cali-wl-to-host", true),
            ("-m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP", false),
            ("! -o vxlan.calico -m addrtype ! --src-type LOCAL --limit-iface-out -j MASQUERADE", true),
            // cilium
            ("-m mark ! --mark 0xe00/0xf00 -m comment --comment c -j ACCEPT", true),
            (
                "-p tcp -m mark --mark 0x200 -j TPROXY --on-port 37053 --on-ip 127.0.0.1 --tproxy-mark 0x200/0xffffffff",
                false
            ),
            ("-m socket --transparent -j MARK --set-xmark 0x200/0xffffffff", false),
            ("-s 10.0.0.0/24 -m set --match-set cilium_node_set_v4 dst -j ACCEPT", true),
            ("-o cilium_host -m conntrack --ctorigdst 10.0.0.1 -j SNAT --to-source 10.0.0.2", true),
            // flannel, weave, the kubelet, docker, firewalld
            ("-s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment f -j MASQUERADE --random-fully", true),
            ("-m physdev --physdev-out vethwe-bridge --physdev-is-bridged -j WEAVE-NPC-EGRESS", false),
            ("-m set --match-set weave-v dst -m comment --comment w -j NFLOG --nflog-group 86", true),
            ("-p tcp -m owner --uid-owner 1337 -j RETURN", false),
            ("-j MARK --set-xmark 0x8000/0x8000", true),
            ("! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT", true),
            ("-d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:41234", true),
            ("-m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT", true),
            ("-p icmp -m icmp --icmp-type 8 -m limit --limit 10/sec --limit-burst 20 -j ACCEPT", true),
            ("-p ipv6-icmp -m icmp6 --icmpv6-type 1/4 -j ACCEPT", true),
            (#"-j LOG --log-prefix "-j DROP " --log-level 6"#, true),
            ("-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu", false),
            ("-m statistic --mode nth --every 2 --packet 1 -j CONNMARK --set-xmark 0x1/0xff", true),
            ("-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff", false),
            ("-p tcp -j REDIRECT --to-ports 15001", true), ("-m ipvs --vdir ORIGINAL -j ACCEPT", false),
            ("-s 10.0.0.1/32 -m ipvs --vproto 6 --vaddr 10.0.0.1 --vport 80 -j DROP", true),
            ("-m ipvs --vaddr 10.0.0.1 --vdir REPLY -j DROP", false),
        ])
    func understood(_ text: String, _ isUnderstood: Bool) {
        #expect(meaning(text).isUnderstood == isUnderstood)
        #expect(meaning(text) == meaning(text))
    }

    @Test("keep the options of what is not understood")
    func kept() {
        let rule = meaning("-m rpfilter --validmark --invert -m u32 ! --u32 0=1 -j TPROXY --on-port 1")
        let invert = RuleOption(isInverted: false, name: "--invert", values: [])
        let validMark = RuleOption(isInverted: false, name: "--validmark", values: [])
        #expect(
            rule.matches == [
                .other(RuleOptionGroup(name: "rpfilter", options: [invert, validMark])),
                .other(
                    RuleOptionGroup(
                        name: "u32", options: [RuleOption(isInverted: true, name: "--u32", values: ["0=1"])])),
            ])
        let port = RuleOption(isInverted: false, name: "--on-port", values: ["1"])
        #expect(rule.target == .other(RuleOptionGroup(name: "TPROXY", options: [port])))
    }
}
