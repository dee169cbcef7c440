import Glibc
import ProxyCore

/// A batch in a file: lines `jump TABLE CHAIN TARGET`, then the text of its tables.
struct BatchFile {
    let batch: IPTablesBatch?

    init(_ family: String, path: String) {
        guard let family = IPFamily(rawValue: family), let file = fopen(path, "r") else {
            batch = nil
            return
        }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer.prefix(count) }
        var batch = IPTablesBatch(family: family, tables: [])
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            if line.first == UInt8(ascii: "j") {
                let words = String(decoding: line, as: UTF8.self).split(separator: " ").map(String.init)
                guard words.count == 4, let table = IPTablesBatch.TableName(rawValue: words[1]) else { continue }
                batch.jumps.append(IPTablesJump(table: table, chain: words[2], matches: "", target: words[3]))
            } else if line.first == UInt8(ascii: "*") {
                let name = String(decoding: line.dropFirst(), as: UTF8.self)
                guard let table = IPTablesBatch.TableName(rawValue: name) else { continue }
                batch.tables.append(.init(name: table, text: line + [UInt8(ascii: "\n")]))
            } else if !batch.tables.isEmpty {
                batch.tables[batch.tables.count - 1].text += line + [UInt8(ascii: "\n")]
            }
        }
        self.batch = batch
    }

    /// The names of the chains that the nat table of a batch declares.
    static func declaredChains(_ batch: IPTablesBatch) -> [String] {
        batch.tables.filter { $0.name == .nat }.flatMap { table in
            table.text.split(separator: UInt8(ascii: "\n")).filter { $0.first == UInt8(ascii: ":") }.map {
                String(decoding: $0.dropFirst().prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
            }
        }
    }
}
