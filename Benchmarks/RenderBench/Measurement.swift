import Foundation

/// The time that `body` takes, in milliseconds.
func milliseconds(_ body: () -> Void) -> Double {
    let duration = ContinuousClock().measure(body)
    return Double(duration.components.seconds) * 1e3 + Double(duration.components.attoseconds) / 1e15
}

/// The median of several runs.
func median(_ runs: Int, _ body: (Int) -> Double) -> Double {
    (0..<runs).map(body).sorted()[runs / 2]
}

/// The time to copy `bytes` once into memory that was just allocated, as a text must be at least.
func copyTime(_ bytes: [UInt8]) -> Double {
    median(5) { _ in
        var copy: [UInt8] = []
        let time = milliseconds {
            copy.reserveCapacity(bytes.count)
            copy.append(contentsOf: bytes)
        }
        precondition(copy.last == bytes.last)
        return time
    }
}

/// The most memory that this process has had resident so far, in megabytes.
func peakMegabytes() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_maxrss) * 1024 / 1e6
}
