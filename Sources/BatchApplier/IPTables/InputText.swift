/// A text for a restore program, in pieces: those of a batch are not copied, as they may be tens of megabytes long.
package struct InputText: Sendable {
    private var pieces: [ArraySlice<UInt8>] = []
    /// True if the last piece is one of our own, to which can be added.
    private var isLastOpen = false

    package init() {}

    package init(_ bytes: [UInt8]) {
        pieces = [bytes[...]]
    }

    var isEmpty: Bool { pieces.allSatisfy(\.isEmpty) }

    /// All of it in one piece.
    var bytes: [UInt8] { Array(pieces.joined()) }

    /// All of it in copies small enough to be made one after the other.
    var portions: some Sequence<[UInt8]> {
        let size = 1 << 18
        return pieces.lazy.flatMap { piece in
            stride(from: piece.startIndex, to: piece.endIndex, by: size).lazy.map { Array(piece[$0...].prefix(size)) }
        }
    }

    /// Adds what somebody else holds too.
    mutating func append(sharing text: ArraySlice<UInt8>) {
        pieces.append(text)
        isLastOpen = false
    }

    static func += (text: inout InputText, bytes: some Sequence<UInt8>) {
        if !text.isLastOpen { text.pieces.append([]) }
        text.isLastOpen = true
        text.pieces[text.pieces.count - 1] += bytes
    }
}
