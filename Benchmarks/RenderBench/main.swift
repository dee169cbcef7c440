// Times planning, rendering and reading, each beside copying the same bytes once: `make bench`.
//
// Each size runs in a process of its own, so that peak memory is that size's alone.

import ChainRenderer
import Foundation
import ProxyCore
import TestSupport

let arguments = CommandLine.arguments
switch arguments.dropFirst().first {
case "rules": RuleMeasurement(services: Int(arguments[2]) ?? 0).run()
default:
    print(RuleMeasurement.header)
    for size in ["1000", "5000", "10000"] { runSelf("rules", size) }
}

func runSelf(_ arguments: String...) {
    let process = Process()
    process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    process.arguments = arguments
    do {
        try process.run()
        process.waitUntilExit()
    } catch {
        print("\(arguments.joined(separator: " ")): \(error)")
    }
}
