import Foundation
import Testing

@testable import ChainRenderer

@Suite("RuleWriter")
struct RuleWriterTests {
    private func text(_ body: (inout RuleWriter) -> Void) -> String {
        var writer = RuleWriter(capacity: 0)
        body(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test("prints probabilities as C does, also where the next digit is exactly a half")
    func probabilities() {
        for count in Array(2...3000) + [10_240, 65_536, 99_999, 100_000, 1_000_000] {
            #expect(text { $0.write(probabilityOfOneIn: count) } == String(format: "%.10f", 1 / Double(count)))
        }
        #expect(text { $0.write(probabilityOfOneIn: 2048) } == "0.0004882812")
    }

    @Test(
        "prints marks with eight digits",
        arguments: [(1 << 14, "0x00004000"), (1 << 31, "0x80000000"), (1, "0x00000001")])
    func marks(_ mark: UInt32, _ expected: String) {
        #expect(text { $0.write(mark: mark) } == expected)
    }

    @Test("grows beyond what was reserved")
    func growth() {
        let long = String(repeating: "KUBE-SERVICES ", count: 1000)
        let written = text { writer in
            for _ in 0..<1000 { writer.write("KUBE-SERVICES ") }
        }
        #expect(written == long)
    }
}
