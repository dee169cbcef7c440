import Foundation
import ProxyCore

/// What `iptables-restore --noflush` would make of batches: chains and their rules, table by table.
struct SimulatedTables: Equatable {
    struct Refusal: Error, CustomStringConvertible {
        var description: String
    }

    /// By table and chain, the rules of the chain as lines.
    private var chains: [String: [String: [UInt8]]] = ["filter": [:], "nat": [:]]

    /// Commits a batch as the tool does, table by table, each whole or not at all.
    mutating func apply(_ batch: IPTablesBatch) throws {
        for table in batch.tables {
            var content = chains[table.name.rawValue, default: [:]]
            try Self.apply(table.text, to: &content)
            chains[table.name.rawValue] = content
        }
    }

    /// Removes what a full batch of a fresh start would remove: owned chains that it does not declare.
    mutating func removeUndeclared(_ batch: IPTablesBatch) {
        for table in batch.tables {
            let text = String(decoding: table.text, as: UTF8.self)
            let declared = Set(
                text.split(separator: "\n").filter { $0.hasPrefix(":") }.map { $0.dropFirst().prefix { $0 != " " } })
            chains[table.name.rawValue] = chains[table.name.rawValue]?.filter { name, _ in
                declared.contains(name[...]) || batch.keptChains.contains(name)
                    || !batch.ownedChainPrefixes.contains { name.hasPrefix($0) }
            }
        }
    }

    private static func apply(_ text: [UInt8], to content: inout [String: [UInt8]]) throws {
        var current: (name: String, lines: [UInt8])?
        func flush() {
            if let current { content[current.name]?.append(contentsOf: current.lines) }
            current = nil
        }
        try forEachLine(text) { line in
            switch line[0] {
            case UInt8(ascii: "*"), UInt8(ascii: "C"): break
            case UInt8(ascii: ":"):
                content[word(line, from: 1)] = []
            case UInt8(ascii: "-") where line[1] == UInt8(ascii: "A"):
                let name = word(line, from: 3)
                if current?.name != name {
                    flush()
                    guard content[name] != nil else { throw Refusal(description: "no chain \(name)") }
                    current = (name, [])
                }
                current?.lines.append(contentsOf: line)
            case UInt8(ascii: "-") where line[1] == UInt8(ascii: "X"):
                flush()
                let name = word(line, from: 3)
                guard content[name]?.isEmpty == true else { throw Refusal(description: "\(name) is not empty") }
                content[name] = nil
            default: throw Refusal(description: String(decoding: line, as: UTF8.self))
            }
        }
        flush()
    }

    /// The tables as a text for iptables-restore.
    var text: [UInt8] {
        var text: [UInt8] = []
        for (table, content) in chains.sorted(by: { $0.key < $1.key }) {
            text += "*\(table)\n".utf8
            for chain in content.keys.sorted() { text += ":\(chain) - [0:0]\n".utf8 }
            for (_, rules) in content.sorted(by: { $0.key < $1.key }) { text += rules }
            text += "COMMIT\n".utf8
        }
        return text
    }

    /// The chains that rules jump to and that are not there.
    func danglingJumps() -> [String] {
        chains.values.flatMap { table in
            table.values.flatMap { rules in
                String(decoding: rules, as: UTF8.self).split(separator: "\n").compactMap { line in
                    line.range(of: " -j KUBE-").map { String(line[$0.lowerBound...].dropFirst(4)) }
                }.filter { table[$0] == nil }
            }
        }
    }

    private static func word(_ line: UnsafeRawBufferPointer, from start: Int) -> String {
        let rest = UnsafeRawBufferPointer(rebasing: line[start...])
        guard let base = rest.baseAddress else { return "" }
        let end =
            memchr(base, Int32(UInt8(ascii: " ")), rest.count) ?? memchr(base, Int32(UInt8(ascii: "\n")), rest.count)
        let length = end.map { base.distance(to: UnsafeRawPointer($0)) } ?? rest.count
        return String(decoding: UnsafeRawBufferPointer(start: base, count: length), as: UTF8.self)
    }

    /// Lines with their ends, found by memchr: these texts are large and the tests are not optimised.
    private static func forEachLine(_ text: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        try text.withUnsafeBytes { bytes in
            guard var start = bytes.baseAddress else { return }
            var left = bytes.count
            while left > 0, let end = memchr(start, 10, left) {
                let length = start.distance(to: UnsafeRawPointer(end)) + 1
                try body(UnsafeRawBufferPointer(start: start, count: length))
                start += length
                left -= length
            }
        }
    }
}
