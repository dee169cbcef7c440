import Foundation

/// Times of one kind, in the unit of their measurement.
package struct Figures {
    private var values: [Double] = []

    package init() {}

    package mutating func add(_ value: Double) { values.append(value) }

    package var count: Int { values.count }
    package var maximum: Double { values.max() ?? 0 }
    package var median: Double { percentile(50) }

    /// The value that `percent` of 100 do not exceed.
    package func percentile(_ percent: Int) -> Double {
        guard !values.isEmpty else { return 0 }
        let sorted = values.sorted()
        return sorted[min(sorted.count - 1, sorted.count * percent / 100)]
    }
}

/// The processor time that this process has used, in the kernel too, in milliseconds.
///
/// What else the machine does lengthens times, and this hardly.
package func processorMilliseconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
}

extension Duration {
    package var inMilliseconds: Double { self / .milliseconds(1) }
}

package func column(_ value: Double, _ digits: Int, width: Int = 10) -> String {
    column(String(format: "%.\(digits)f", value), width: width)
}

package func column(_ text: String, width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
}

/// Prints at once, also where the output is a file.
package func say(_ line: String) {
    print(line)
    fflush(nil)
}

/// What keeps a measurement from being made.
package struct Failure: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// Runs this program with other arguments, and waits for its end: a measurement in a process of its own.
package func runSelf(_ arguments: String...) {
    let process = Process()
    process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    process.arguments = arguments
    // What was printed here comes before what the other process prints.
    fflush(nil)
    do {
        try process.run()
        process.waitUntilExit()
    } catch {
        print("\(arguments.joined(separator: " ")): \(error)")
    }
}
