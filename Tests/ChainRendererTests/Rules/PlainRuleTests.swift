import Foundation
import ProxyCore
import TestSupport
import Testing

@testable import ChainRenderer

/// The reader of plain rules says what the reader of all rules says, or nothing.
@Suite("Plain rules")
struct PlainRuleTests {
    /// Nil if the rule is not read as a plain one.
    private func agrees(_ text: ArraySlice<UInt8>) -> Bool? {
        guard let plain = RuleMeaning(plain: text) else { return nil }
        let full = RuleMeaning(full: text)
        return plain == full && plain.comment == full.comment && plain.hashValue == full.hashValue
    }

    private static func rules(_ text: [UInt8]) -> [ArraySlice<UInt8>] {
        text.split(separator: UInt8(ascii: "\n")).compactMap { line in
            guard line.starts(with: "-A ".utf8), let chainEnd = line.dropFirst(3).firstIndex(of: 32) else { return nil }
            return line[(chainEnd + 1)...]
        }
    }

    private static let texts: [[UInt8]] =
        GoldenCase.all.flatMap { golden in
            ["iptables.v4", "iptables.v6", "iptables-nfacct.v4"].compactMap { golden.expected("\($0).restore") }
        }
        + ["iptables-legacy", "iptables-nft"].compactMap { name in
            let path = GoldenCase.root.appending(path: "saves/kube-proxy-yaobank.\(name).save")
            return (try? Data(contentsOf: path)).map(Array.init)
        }

    @Test("are read alike in every golden text and save, and most rules are plain")
    func golden() {
        let results = Self.texts.flatMap(Self.rules).map { ($0, agrees($0)) }
        for (text, result) in results where result == false {
            Issue.record("\(String(decoding: text, as: UTF8.self))")
        }
        #expect(results.count { $0.1 == true } > results.count / 2)
    }

    @Test(
        "are not those whose words have more to them",
        arguments: [
            "-s 0.0.0.0/0 -j KUBE-SEP-A", "-d ::/0 -j KUBE-SEP-A", "-s 10.0.0.1 10.0.0.2 -j KUBE-SEP-A",
            "-p all -j KUBE-SEP-A", "-m comment --comment \"a\\\"b\" -j KUBE-SEP-A", "-j KUBE-SEP-A --random",
            "-m tcp --dport 80:90 -j KUBE-SEP-A", "-j DNAT --to-destination 10.0.0.1:80-90",
            "-j DNAT --to-destination 10.0.0.1:80 --persistent", "-m statistic --mode nth --every 2 -j KUBE-SEP-A",
            "-m statistic --mode random --probability 0.5 --packet 1 -j KUBE-SEP-A", "! -m tcp -j KUBE-SEP-A",
            "-s ! 10.0.0.1 -j KUBE-SEP-A", "-j ACCEPT", "-g KUBE-SEP-A", "-m tcp --syn -j KUBE-SEP-A", "-m", "!", "-j",
            "-m comment --comment \"open", "-m comment", "--dport 65536 -j KUBE-SEP-A", "x -j KUBE-SEP-A",
        ])
    func others(_ text: String) {
        #expect(RuleMeaning(plain: Array(text.utf8)[...]) == nil)
    }

    /// `SWITCHYARD_FUZZ` is how many, 3,000 without it.
    @Test("are read alike however they are mutated")
    func mutated() {
        let count = ProcessInfo.processInfo.environment["SWITCHYARD_FUZZ"].flatMap(Int.init) ?? 3000
        var generator = SeededGenerator(seed: 11)
        let rules = Array(Set(Self.texts.flatMap(Self.rules))).filter { RuleMeaning(plain: $0) != nil }
            .sorted { $0.lexicographicallyPrecedes($1) }
        let tokens = [
            "-j ", "! ", "\"", "\\", " ", "-s ", "-d 10.0.0.1 ", "-m ", "-m tcp ", "-m comment --comment ", "KUBE-X",
            "--dport ", "1", "/", ":", "-", "[", "]", "é", "--mode random ", "-p udp ", "--to-destination ", "\t",
        ]
        var plain = 0
        for _ in 0..<count {
            var text = Array(generator.pick(rules))
            for _ in 0..<Int.random(in: 1...3, using: &generator) where !text.isEmpty {
                let place = Int.random(in: 0..<text.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: text[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: text.removeSubrange(place..<min(text.count, place + Int.random(in: 1...9, using: &generator)))
                default: text.insert(contentsOf: generator.pick(tokens).utf8, at: place)
                }
            }
            let result = agrees(text[...])
            if result == true { plain += 1 }
            #expect(result != false, "\(String(decoding: text, as: UTF8.self))")
        }
        #expect(plain > count / 20)
    }
}
