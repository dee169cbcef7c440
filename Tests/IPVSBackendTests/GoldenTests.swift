import GoldenSupport
import IPVSBackend
import ProxyCore
import TestSupport
import Testing

@Suite("Golden files of ipvs mode")
struct IPVSGoldenTests {
    @Test("every file is equal", arguments: GoldenCase.all)
    func equal(_ golden: GoldenCase) throws {
        for family in IPFamily.allCases {
            let table = try golden.ipvsTable(family)
            let texts = [
                "restore": table.rules().text, "ipset": Array(table.ipsetText.utf8),
                "ipvsadm": Array(table.ipvsadmText.utf8), "addresses": Array(table.addressText.utf8),
            ]
            for (part, text) in texts {
                let name = "ipvs.\(family == .ipv4 ? "v4" : "v6").\(part)"
                let expected = try #require(golden.expected(name), "no \(name)")
                #expect(text == expected, "\(name): \(firstDifference(expected, text))")
            }
        }
    }

    private func firstDifference(_ expected: [UInt8], _ found: [UInt8]) -> String {
        let lines = [expected, found].map { String(decoding: $0, as: UTF8.self).split(separator: "\n") }
        let place = zip(lines[0], lines[1]).first { $0 != $1 }
        return place.map { "\"\($0.1)\" instead of \"\($0.0)\"" }
            ?? "\(lines[1].count) lines instead of \(lines[0].count)"
    }
}
