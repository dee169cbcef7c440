import Testing

@testable import EndpointWatcher

@Suite("Splitters of response bodies")
struct SplitterTests {
    private func split(_ splitter: some BodySplitter, _ chunks: [[UInt8]]) throws -> ([BodyMessage], isAtEnd: Bool) {
        var splitter = splitter
        var messages: [BodyMessage] = []
        for chunk in chunks { try splitter.take(chunk, into: &messages) }
        return (messages, splitter.isAtEnd)
    }

    private func object(_ text: String) -> BodyMessage { .object(Array(text.utf8)[...]) }

    /// Every cut of the bytes in two, and single bytes.
    private func cuts(_ bytes: [UInt8]) -> [[[UInt8]]] {
        (0...bytes.count).map { [Array(bytes[..<$0]), Array(bytes[$0...])] } + [bytes.map { [$0] }]
    }

    @Test("A message as large as the limit passes, a larger one is skipped to its end")
    func limits() throws {
        let list = Array(#"{"items":[{"a":1},{"a":12},{"a":2}],"metadata":{"b":12}}"#.utf8)
        let lines = Array("{\"a\":1}\n{\"a\":12}\n\n{\"a\":2}\n".utf8)
        let frames: [UInt8] = [0, 0, 0, 2, 7, 7, 0, 0, 0, 3, 8, 8, 8, 0, 0, 0, 1, 9]
        // Raw: metadata of 1 byte, items of 2 and 3 bytes, a field that is not read.
        let raw: [UInt8] = [0x0a, 1, 5, 0x12, 2, 6, 6, 0x12, 3, 7, 7, 7, 0x1a, 4, 1, 1, 1, 1, 0x20, 0x80, 1]
        let protobuf: [UInt8] = [0x6b, 0x38, 0x73, 0, 0x0a, 1, 0, 0x12, UInt8(raw.count)] + raw + [0x1a, 0]
        for chunks in cuts(list) {
            let (messages, isAtEnd) = try split(JSONListSplitter(limit: 7), chunks)
            #expect(messages == [object(#"{"a":1}"#), .tooLarge(bytes: 8), object(#"{"a":2}"#), .tooLarge(bytes: 8)])
            #expect(isAtEnd)
        }
        for chunks in cuts(lines) {
            let (messages, isAtEnd) = try split(JSONLineSplitter(limit: 7), chunks)
            #expect(messages == [object(#"{"a":1}"#), .tooLarge(bytes: 8), object(#"{"a":2}"#)])
            #expect(isAtEnd)
        }
        for chunks in cuts(frames) {
            let (messages, isAtEnd) = try split(LengthPrefixSplitter(limit: 2), chunks)
            #expect(messages == [.object([7, 7]), .tooLarge(bytes: 3), .object([9])])
            #expect(isAtEnd)
        }
        for chunks in cuts(protobuf) {
            let (messages, isAtEnd) = try split(ProtobufListSplitter(limit: 2), chunks)
            #expect(messages == [.listMetadata([5]), .object([6, 6]), .tooLarge(bytes: 3)])
            #expect(isAtEnd)
        }
    }

    @Test("Brackets, quotes and field names inside texts and items do not mislead")
    func misleading() throws {
        let item = #"{"metadata":{"name":"]}\"{["},"items":[{"x":1}],"b":"\\"}"#
        let bytes = Array(#"{"x":"items","y":["items",{"z":1}],"metadata":{"m":"}"},"items":[\#(item)]}"#.utf8)
        for chunks in cuts(bytes) {
            let (messages, isAtEnd) = try split(JSONListSplitter(), chunks)
            #expect(messages == [.listMetadata(Array(#"{"m":"}"}"#.utf8)[...]), object(item)])
            #expect(isAtEnd)
        }
    }

    @Test("A body that breaks off is not at its end")
    func brokenOff() throws {
        #expect(try !split(JSONListSplitter(), [Array(#"{"items":[]"#.utf8)]).isAtEnd)
        #expect(try !split(JSONListSplitter(), []).isAtEnd)
        #expect(try !split(JSONLineSplitter(), [Array("{".utf8)]).isAtEnd)
        #expect(try !split(LengthPrefixSplitter(), [[0, 0]]).isAtEnd)
        #expect(try !split(LengthPrefixSplitter(), [[0, 0, 0, 1]]).isAtEnd)
        #expect(try !split(ProtobufListSplitter(), [[0x6b, 0x38, 0x73, 0, 0x12, 2, 0x0a]]).isAtEnd)
    }

    @Test(
        "What is not the protocol is a failure",
        arguments: ["<html>", "404 page not found", "[]", "nothing", "}", #"{"items":[1]}"#, #"{"items":["a"]}"#])
    func garbage(text: String) {
        let bytes = Array((text + "\n").utf8)
        #expect(throws: FramingFailure.self) { try split(JSONListSplitter(), [bytes]) }
        #expect(throws: FramingFailure.self) { try split(ProtobufListSplitter(), [bytes]) }
        #expect(throws: FramingFailure.self) { try split(LengthPrefixSplitter(), [bytes + [0, 0, 0]]) }
        if !text.hasPrefix("{") {
            #expect(throws: FramingFailure.self) { try split(JSONLineSplitter(), [bytes]) }
        }
    }

    @Test(
        "A protobuf list whose numbers do not fit is a failure",
        arguments: [
            [0x12, 2, 0x12, 5], [0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
            [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [0x02, 1, 0], [0x13],
        ])
    func badNumbers(bytes: [UInt8]) {
        #expect(throws: FramingFailure.self) {
            try split(ProtobufListSplitter(), [[0x6b, 0x38, 0x73, 0] + bytes])
        }
    }
}
