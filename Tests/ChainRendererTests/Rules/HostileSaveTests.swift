import ChainRenderer
import Foundation
import ProxyCore
import TestSupport
import Testing

/// Saves that are cut, mixed up or made to mislead end in a result or in an error that names a line.
@Suite("Hostile saves")
struct HostileSaveTests {
    private static func read(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: GoldenCase.root.appending(path: "saves/kube-proxy-yaobank.\(name).save")))
    }

    /// Reads and compares; returns false if the text was refused.
    private func compare(_ text: [UInt8], with whole: RuleSet) -> Bool {
        do {
            let rules = try RuleSet(parsing: text, family: .ipv4)
            _ = RuleComparison(wanted: whole, found: rules, leavesGuardToKubelet: false).differences()
            return true
        } catch {
            #expect(error.line >= 1)
            #expect(!error.reason.isEmpty)
            return false
        }
    }

    @Test("cut at every seventh byte are refused, or hold whole tables")
    func cut() throws {
        let text = try Self.read("iptables-legacy.counters")
        let whole = try RuleSet(parsing: text, family: .ipv4)
        var accepted = 0
        for length in stride(from: 0, to: text.count, by: 7) {
            let isAccepted = compare(Array(text[..<length]), with: whole)
            guard isAccepted else { continue }
            accepted += 1
            let commits = String(decoding: text[..<length], as: UTF8.self).components(separatedBy: "\nCOMMIT").count - 1
            let tables = try RuleSet(parsing: Array(text[..<length]), family: .ipv4).tables.count
            #expect(tables == commits)
        }
        // Between two tables, and before the first.
        #expect(accepted > 20)
        #expect(accepted < 100)
    }

    /// `SWITCHYARD_FUZZ` is how many, 2,000 without it; `SWITCHYARD_SEED` the seed.
    @Test("mutated thousands of times end in a result or an error")
    func mutated() throws {
        let environment = ProcessInfo.processInfo.environment
        let count = environment["SWITCHYARD_FUZZ"].flatMap(Int.init) ?? 2000
        let seed = environment["SWITCHYARD_SEED"].flatMap(UInt64.init) ?? 7
        let text = try Self.read("iptables-nft")
        let whole = try RuleSet(parsing: text, family: .ipv4)
        var generator = SeededGenerator(seed: seed)
        let tokens = [
            "-j ", "! ", "\"", "\\", "-A ", "\n", "KUBE-SERVICES", "-m ", "\0", "0x", "/", "COMMIT\n", "-g ", ":", "é",
        ]
        var accepted = 0
        for _ in 0..<count {
            var copy = text
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<copy.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: copy[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: copy.remove(at: place)
                case 2:
                    let token = tokens[Int.random(in: 0..<tokens.count, using: &generator)]
                    copy.insert(contentsOf: token.utf8, at: place)
                default:
                    let end = min(copy.count, place + Int.random(in: 1...200, using: &generator))
                    let target = Int.random(in: 0..<copy.count, using: &generator)
                    copy.insert(contentsOf: Array(copy[place..<end]), at: target)
                }
            }
            if compare(copy, with: whole) { accepted += 1 }
        }
        #expect(accepted > count / 4)
        #expect(accepted < count)
    }

    @Test("of 400,000 lines are read")
    func large() throws {
        var text = Array("*nat\n".utf8)
        let line = Array("[1:60] -A KUBE-SERVICES -d 10.0.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-AAAA\n".utf8)
        for _ in 0..<400_000 { text += line }
        text += "COMMIT\n".utf8
        #expect(try RuleSet(parsing: text, family: .ipv4).ruleCount == 400_000)
    }

    @Test("with chains that jump in a circle are compared to the end")
    func circle() throws {
        let text = """
            *filter
            :FORWARD ACCEPT [0:0]
            :KUBE-SERVICES - [0:0]
            :KUBE-FORWARD - [0:0]
            :A - [0:0]
            -A FORWARD -j A
            -A FORWARD -j KUBE-SERVICES
            -A FORWARD -j KUBE-FORWARD
            -A A -j A
            -A KUBE-SERVICES -j KUBE-FORWARD
            -A KUBE-FORWARD -j KUBE-SERVICES
            COMMIT

            """
        let rules = try RuleSet(parsing: Array(text.utf8), family: .ipv4)
        let other = try RuleSet(
            parsing: Array(
                text.replacingOccurrences(of: "-A FORWARD -j KUBE-SERVICES\n", with: "")
                    .replacingOccurrences(of: "-A A -j A", with: "-A FORWARD -j KUBE-SERVICES").utf8), family: .ipv4)
        #expect(RuleComparison(wanted: rules, found: rules, leavesGuardToKubelet: false).differences().isEmpty)
        _ = RuleComparison(wanted: rules, found: other, leavesGuardToKubelet: false).differences()
    }
}
