import GoldenSupport
import NFTBackend
import ProxyCore
import TestSupport
import Testing

@Suite("Golden tables of nftables mode")
struct GoldenTests {
    @Test("are read and written again as they were", arguments: GoldenCase.all)
    func readAndWritten(_ golden: GoldenCase) throws {
        for family in IPFamily.allCases {
            let text = try golden.kubeProxyText(family)
            let read = try NFTTextReader.read(String(decoding: text, as: UTF8.self))
            #expect(firstDifference(text, Self.text(read.table, read.elements)) == nil)
            let (table, elements) = try GoldenCluster(golden).sharedMaps(family).ruleset()
            let own = Self.text(table, elements)
            let again = try NFTTextReader.read(String(decoding: own, as: UTF8.self))
            #expect(firstDifference(own, Self.text(again.table, again.elements)) == nil)
        }
    }

    private static func text(_ table: NFTTable, _ elements: [NFTElement]) -> [UInt8] {
        var writer = NFTTextWriter()
        writer.write(table, elements: elements)
        return writer.text
    }

    /// The first line that is another; nil if there is none.
    private func firstDifference(_ wanted: [UInt8], _ found: [UInt8]) -> String? {
        guard wanted != found else { return nil }
        let lines = [wanted, found].map { String(decoding: $0, as: UTF8.self).split(separator: "\n") }
        for (old, new) in zip(lines[0], lines[1]) where old != new { return "- \(old)\n+ \(new)" }
        return "\(lines[0].count) lines and \(lines[1].count)"
    }
}
