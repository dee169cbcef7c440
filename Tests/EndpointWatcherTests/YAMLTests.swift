import Foundation
import ProxyCore
import Testing

@testable import EndpointWatcher

@Suite("YAML")
struct YAMLTests {
    private func json(_ yaml: String) throws -> String {
        let bytes = [UInt8](yaml.utf8)
        let document = try YAMLDocument(bytes[...], line: 1)
        return String(decoding: try JSONWriter(document, sourceSize: bytes.count).bytes, as: UTF8.self)
    }

    @Test(
        "scalars are what Kubernetes takes them for",
        arguments: [
            ("", "null"), ("~", "null"), ("null", "null"), ("nil", "\"nil\""), ("true", "true"), ("Yes", "true"),
            ("off", "false"),
            ("n", "false"), ("yEs", "\"yEs\""), ("80", "80"), ("-5", "-5"), ("+5", "5"), ("1_000", "1000"),
            ("0x1F", "31"),
            ("010", "8"), ("0b11", "3"), ("08", "8.0"), ("1.5", "1.5"), (".5", "0.5"), ("5.", "5.0"), ("1e3", "1000.0"),
            ("10.0.0.1", "\"10.0.0.1\""), ("2024-01-01", "\"2024-01-01\""), ("12:30", "\"12:30\""), ("-", "[null]"),
            (".inf", "\".inf\""), ("'80'", "\"80\""), ("\"80\"", "\"80\""), ("!!str 80", "\"80\""), ("!!int 80", "80"),
            ("18446744073709551615", "18446744073709551615"), ("1e999", "\"1e999\""), ("0x", "\"0x\""), ("-0", "0"),
            ("\"a\\n\\\"\\\\\\u0001\"", #""a\u000a\"\\\u0001""#),
        ])
    func scalars(_ yaml: String, _ expected: String) throws {
        #expect(try json("a: \(yaml.hasPrefix("-") && yaml.count == 1 ? "\n- " : yaml)\n") == "{\"a\":\(expected)}")
    }

    @Test("merge keys give way to a mapping's own fields and to earlier merges")
    func merges() throws {
        let text = """
            one: &one {a: 1, b: 1}
            two: &two {b: 2, c: 2}
            x: {<<: [*one, *two], a: 0}
            y: {<<: *two, b: 5}
            z: {"<<": 5}
            """
        #expect(
            try json(text)
                == #"{"one":{"a":1,"b":1},"two":{"b":2,"c":2},"x":{"a":0,"b":1,"c":2},"y":{"b":5,"c":2},"z":{"<<":5}}"#)
    }

    @Test("empty collections and keys that are no texts are written as JSON has them")
    func collections() throws {
        #expect(try json("a: []\nb: {}\n80: [1, {c: d}]\n") == #"{"a":[],"b":{},"80":[1,{"c":"d"}]}"#)
    }

    @Test("JSON items are found whatever stands around them")
    func outline() throws {
        func items(_ text: String) throws -> [String]? {
            let bytes = [UInt8](text.utf8)
            let outline = try JSONOutline(bytes[...])
            return outline.list.map { _ in outline.items.map { String(decoding: bytes[$0], as: UTF8.self) } }
        }
        #expect(
            try items(#" {"a": {"items": [1]}, "items" : [ {"x": "]}\""} , {}] , "b": 1} "#) == [
                #"{"x": "]}\""}"#, "{}",
            ])
        #expect(try items(#"{"items": []}"#) == [])
        #expect(try items(#"{"items": {}}"#) == nil)
        #expect(try items(#"{"items": [1]}"#) == nil)
        #expect(try items(#"{"items": ["x"]}"#) == nil)
        #expect(try items(#"{"items": [{},]}"#) == nil)
        #expect(try items(#"{"items": [,{}]}"#) == nil)
        #expect(try items(#"{"items": [{} {}]}"#) == nil)
        for text in ["{", "{}}", "{} x", "{\"a", "{\"\\", ""] {
            #expect(throws: JSONOutline.Failure.self) { try items(text) }
        }
    }
}
