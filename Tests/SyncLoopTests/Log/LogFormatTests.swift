import Foundation
import Logging
import Testing

@testable import SyncLoop

@Suite("LogFormat")
struct LogFormatTests {
    private let time = Date(timeIntervalSince1970: 1_767_323_045.625)

    private func line(_ format: LogFormat, _ message: String, _ metadata: Logger.Metadata = [:]) -> String {
        String(decoding: format.line(at: time, .warning, "iptables", message, metadata), as: UTF8.self)
    }

    @Test("writes text with its facts in order, each as one word")
    func text() {
        #expect(line(.text, "refused") == "2026-01-02T03:04:05.625Z warning iptables: refused\n")
        let facts: Logger.Metadata = [
            "b": "two words", "a": "1", "c": "", "d": "say \"x\"", "e": .stringConvertible(7), "f": "a\nb",
        ]
        #expect(
            line(.text, "one\ntwo\u{1b}[31m", facts)
                == "2026-01-02T03:04:05.625Z warning iptables: one\\ntwo\\u{1B}[31m "
                + #"a=1 b="two words" c="" d="say \"x\"" e=7 f=a\nb"# + "\n")
    }

    @Test("writes JSON that reads back as what was logged, on one line")
    func json() throws {
        let hostile = "a\"b\\c\nd\te\u{0}\u{1b}\u{85}\u{2028}é🙂"
        let text = line(.json, hostile, ["k\"": .string(hostile), "n": .array(["x", .dictionary(["y": "z"])])])
        #expect(text.hasSuffix("}\n"))
        #expect(text.unicodeScalars.dropLast().allSatisfy { $0.value >= 32 && $0.value != 0x85 && $0.value != 0x2028 })
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["message"] as? String == hostile)
        #expect(object["time"] as? String == "2026-01-02T03:04:05.625Z")
        #expect(object["level"] as? String == "warning")
        #expect(object["logger"] as? String == "iptables")
        let metadata = try #require(object["metadata"] as? [String: Any])
        #expect(metadata["k\""] as? String == hostile)
        let list = try #require(metadata["n"] as? [Any])
        #expect(list.first as? String == "x")
        #expect((list.last as? [String: String]) == ["y": "z"])
    }

    @Test("bounds what one message can take", arguments: [LogFormat.text, .json])
    func bounded(_ format: LogFormat) {
        let long = String(repeating: "x", count: 100_000)
        #expect(line(format, long, ["k": .string(long)]).utf8.count < 2 * LogFormat.textLimit + 200)
    }
}
