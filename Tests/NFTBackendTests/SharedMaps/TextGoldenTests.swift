import Foundation
import GoldenSupport
import NFTBackend
import ProxyCore
import TestSupport
import Testing

@Suite("Text of shared maps")
struct TextGoldenTests {
    private static let names = ["affinity", "both-local", "detect-bridge", "dual-stack", "loadbalancer-source-ranges"]

    private static func text(_ golden: GoldenCase, _ family: IPFamily) throws -> [UInt8] {
        let (table, elements) = try GoldenCluster(golden).sharedMaps(family).ruleset()
        var writer = NFTTextWriter()
        writer.write(table, elements: elements)
        return writer.text
    }

    /// A format of our own: `make golden` records it.
    @Test("is as it was recorded", arguments: names, IPFamily.allCases)
    func recorded(_ name: String, _ family: IPFamily) throws {
        let golden = GoldenCase.named(name)
        let file = "shared-maps.\(family.shortName).nft"
        let text = try Self.text(golden, family)
        if ProcessInfo.processInfo.environment["RECORD_GOLDEN"] == "1" {
            try Data(text).write(to: golden.directory.appending(path: file))
            Issue.record("recorded")
            return
        }
        let expected = try #require(golden.expected(file), "\(file) is missing")
        let lines = [expected, text].map { String(decoding: $0, as: UTF8.self).split(separator: "\n") }
        let missing = lines[0].filter { !lines[1].contains($0) }
        let unexpected = lines[1].filter { !lines[0].contains($0) }
        #expect(missing.isEmpty && unexpected.isEmpty, "missing: \(missing)\nunexpected: \(unexpected)")
        #expect(expected == text)
    }

    /// nft 1.0.6 aborts at rules of IPv6 that add to a map whose key is longer than 16 bytes: those of affinity.
    @Test("loads in nft, with every kind of service", .kernel("nft"), arguments: GoldenCase.all)
    func loads(_ golden: GoldenCase) throws {
        for family in IPFamily.allCases {
            let text = String(decoding: try Self.text(golden, family), as: UTF8.self)
            if family == .ipv6, text.contains("update @affinity") { continue }
            let namespace = try Namespace()
            // Twice, as what is added again has to be the same.
            try namespace.require(["nft", "-f", "-"], input: text)
            try namespace.require(
                ["nft", "-f", "-"],
                input: text.split(separator: "\n").filter {
                    !$0.hasPrefix("add rule")
                }.joined(separator: "\n") + "\n")
        }
    }
}
