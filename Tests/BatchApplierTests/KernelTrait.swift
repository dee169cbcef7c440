import Foundation
import TestSupport
import Testing

/// True where nothing may be skipped.
let isCI = ProcessInfo.processInfo.environment["CI"] == "true"

extension Trait where Self == ConditionTrait {
    /// For tests that need a kernel: skipped, with the reason printed, where this machine lacks something. In CI they
    /// run all the same, and so fail.
    static func kernel(_ programs: String...) -> ConditionTrait {
        let missing = KernelNeeds.missing(programs)
        return .enabled(if: missing == nil || isCI, "needs \(missing ?? "nothing"), which this machine lacks")
    }
}

/// The tests that use a kernel, one after the other: they wait for processes and for locks, which on few cores would
/// keep each other waiting beyond their bounds.
@Suite("Kernel", .serialized)
enum KernelTests {}
