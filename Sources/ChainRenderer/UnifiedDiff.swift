/// Two texts compared line by line, written as `diff -u` writes it.
///
/// Lines that stand once in both texts are the anchors (patience diff): rule lines nearly always do, so the cost grows
/// with the number of lines and not with the number of differences.
public struct UnifiedDiff {
    fileprivate enum Edit {
        case keep(old: Int, new: Int)
        case remove(Int)
        case add(Int)
    }

    private let old: [Substring.UTF8View]
    private let new: [Substring.UTF8View]
    private var edits: [Edit] = []

    /// The difference with three lines of context, or nil if the texts are equal.
    public static func text(old: [UInt8], new: [UInt8], oldName: String, newName: String) -> String? {
        guard old != new else { return nil }
        let diff = UnifiedDiff(old: String(decoding: old, as: UTF8.self), new: String(decoding: new, as: UTF8.self))
        return "--- \(oldName)\n+++ \(newName)\n" + diff.hunks(context: 3)
    }

    private init(old: String, new: String) {
        self.old = Self.lines(old)
        self.new = Self.lines(new)
        var numbers: [String: Int] = [:]
        func number(_ line: Substring.UTF8View) -> Int {
            let line = String(Substring(line))
            if let known = numbers[line] { return known }
            numbers[line] = numbers.count
            return numbers.count - 1
        }
        let oldNumbers = self.old.map(number)
        let newNumbers = self.new.map(number)
        compare(oldNumbers, 0..<oldNumbers.count, newNumbers, 0..<newNumbers.count)
    }

    /// The lines with their ends, so that a missing last line end is a difference.
    private static func lines(_ text: String) -> [Substring.UTF8View] {
        var lines: [Substring.UTF8View] = []
        var rest = text.utf8[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: "\n")).map { rest.index(after: $0) } ?? rest.endIndex
            lines.append(Substring(rest[..<end]).utf8)
            rest = rest[end...]
        }
        return lines
    }

    private mutating func compare(_ old: [Int], _ oldRange: Range<Int>, _ new: [Int], _ newRange: Range<Int>) {
        var (oldStart, oldEnd) = (oldRange.lowerBound, oldRange.upperBound)
        var (newStart, newEnd) = (newRange.lowerBound, newRange.upperBound)
        while oldStart < oldEnd, newStart < newEnd, old[oldStart] == new[newStart] {
            edits.append(.keep(old: oldStart, new: newStart))
            oldStart += 1
            newStart += 1
        }
        var tail = 0
        while oldStart < oldEnd, newStart < newEnd, old[oldEnd - 1] == new[newEnd - 1] {
            oldEnd -= 1
            newEnd -= 1
            tail += 1
        }
        let anchors = Self.anchors(old, oldStart..<oldEnd, new, newStart..<newEnd)
        if anchors.isEmpty {
            edits += (oldStart..<oldEnd).map(Edit.remove)
            edits += (newStart..<newEnd).map(Edit.add)
        } else {
            for anchor in anchors + [(old: oldEnd, new: newEnd)] {
                compare(old, oldStart..<anchor.old, new, newStart..<anchor.new)
                (oldStart, newStart) = anchor
            }
        }
        edits += (0..<tail).map { .keep(old: oldEnd + $0, new: newEnd + $0) }
    }

    /// Lines that stand once in each range, as the longest series whose order is the same in both.
    private static func anchors(
        _ old: [Int], _ oldRange: Range<Int>, _ new: [Int], _ newRange: Range<Int>
    ) -> [(old: Int, new: Int)] {
        guard !oldRange.isEmpty, !newRange.isEmpty else { return [] }
        var places: [Int: (old: Int, oldCount: Int, new: Int, newCount: Int)] = [:]
        for index in oldRange {
            places[old[index], default: (0, 0, 0, 0)].old = index
            places[old[index], default: (0, 0, 0, 0)].oldCount += 1
        }
        for index in newRange {
            places[new[index], default: (0, 0, 0, 0)].new = index
            places[new[index], default: (0, 0, 0, 0)].newCount += 1
        }
        let unique = places.values.filter { $0.oldCount == 1 && $0.newCount == 1 }.sorted { $0.old < $1.old }
        // The longest increasing series of `new`, by patience sorting.
        var piles: [Int] = []
        var previous = [Int?](repeating: nil, count: unique.count)
        for (index, item) in unique.enumerated() {
            var (low, high) = (0, piles.count)
            while low < high {
                let middle = (low + high) / 2
                if unique[piles[middle]].new < item.new { low = middle + 1 } else { high = middle }
            }
            previous[index] = low > 0 ? piles[low - 1] : nil
            if low == piles.count { piles.append(index) } else { piles[low] = index }
        }
        var series: [(old: Int, new: Int)] = []
        var next = piles.last
        while let index = next {
            series.append((unique[index].old, unique[index].new))
            next = previous[index]
        }
        return series.reversed()
    }

    private func hunks(context: Int) -> String {
        var output = ""
        var start = 0
        while let first = edits[start...].firstIndex(where: \.isChange) {
            var end = first + 1
            var kept = 0
            for index in end..<edits.count {
                kept = edits[index].isChange ? 0 : kept + 1
                if kept == 0 { end = index + 1 }
                if kept > 2 * context { break }
            }
            let range = max(start, first - context)..<min(edits.count, end + context)
            output += hunk(range)
            start = range.upperBound
        }
        return output
    }

    private func hunk(_ range: Range<Int>) -> String {
        var body = ""
        var (oldCount, newCount) = (0, 0)
        for edit in edits[range] {
            let (mark, line): (String, Substring.UTF8View)
            switch edit {
            case .keep(let index, _): (mark, line, oldCount, newCount) = (" ", old[index], oldCount + 1, newCount + 1)
            case .remove(let index): (mark, line, oldCount) = ("-", old[index], oldCount + 1)
            case .add(let index): (mark, line, newCount) = ("+", new[index], newCount + 1)
            }
            body += mark + Substring(line)
            if line.last != UInt8(ascii: "\n") { body += "\n\\ No newline at end of file\n" }
        }
        let before = edits[..<range.lowerBound].reduce(into: (old: 0, new: 0)) { counts, edit in
            if !edit.isAddition { counts.old += 1 }
            if !edit.isRemoval { counts.new += 1 }
        }
        // A range of no lines is named by the line before it (POSIX diff, unified format).
        let oldStart = oldCount == 0 ? before.old : before.old + 1
        let newStart = newCount == 0 ? before.new : before.new + 1
        return "@@ -\(oldStart),\(oldCount) +\(newStart),\(newCount) @@\n" + body
    }
}

extension UnifiedDiff.Edit {
    fileprivate var isAddition: Bool { if case .add = self { true } else { false } }
    fileprivate var isRemoval: Bool { if case .remove = self { true } else { false } }
    fileprivate var isChange: Bool { isAddition || isRemoval }
}
