import Foundation
public import Testing

/// True where nothing may be skipped.
package let isCI = ProcessInfo.processInfo.environment["CI"] == "true"

extension Trait where Self == ConditionTrait {
    /// For tests that need a kernel: skipped, with the reason printed, where this machine lacks something. In CI they
    /// run all the same, and so fail.
    public static func kernel(_ programs: String...) -> ConditionTrait {
        let missing = isCI ? nil : KernelNeeds.missing(programs)
        return .enabled(if: missing == nil || isCI, "needs \(missing ?? "nothing"), which this machine lacks")
    }
}
