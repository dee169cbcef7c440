import Foundation

/// Times of one kind, in milliseconds.
struct Figures {
    private var values: [Double] = []

    mutating func add(_ value: Double) { values.append(value) }

    var count: Int { values.count }
    var maximum: Double { values.max() ?? 0 }

    /// The value that `percent` of 100 do not exceed.
    func percentile(_ percent: Int) -> Double {
        guard !values.isEmpty else { return 0 }
        let sorted = values.sorted()
        return sorted[min(sorted.count - 1, sorted.count * percent / 100)]
    }
}

extension Duration {
    var inMilliseconds: Double { self / .milliseconds(1) }
}

func column(_ value: Double, _ digits: Int, width: Int = 10) -> String {
    let text = String(format: "%.\(digits)f", value)
    return String(repeating: " ", count: max(0, width - text.count)) + text
}

func column(_ text: String, width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
}

/// Prints at once, also where the output is a file.
func say(_ line: String) {
    print(line)
    fflush(nil)
}
