// Times planning, rendering, comparing and reading, each beside copying the same bytes once: `make bench`.
//
// Each size runs in a process of its own, so that peak memory is that size's alone.

import BenchSupport
import ChainRenderer
import Foundation
import ProxyCore
import TestSupport

let arguments = CommandLine.arguments
switch arguments.dropFirst().first {
case "rules": RuleMeasurement(services: Int(arguments[2]) ?? 0, hasComments: arguments[3] == "comments").run()
case "read": ReadMeasurement(services: Int(arguments[2]) ?? 0, isYAML: arguments[3] == "yaml").run()
case "compare": CompareMeasurement(services: Int(arguments[2]) ?? 0).run()
case "audit": AuditMeasurement(services: Int(arguments[2]) ?? 0, isDamaged: arguments[3] == "damaged").run()
case "save":
    AuditMeasurement(services: Int(arguments[2]) ?? 0, isDamaged: arguments[3] == "damaged").save(arguments[4])
default:
    print(RuleMeasurement.header)
    for size in ["1000", "5000", "10000"] { runSelf("rules", size, "threshold") }
    runSelf("rules", "10000", "comments")
    print("\n" + CompareMeasurement.header)
    for size in ["1000", "10000"] { runSelf("compare", size) }
    print("\n" + AuditMeasurement.header)
    for size in ["1000", "10000"] { runSelf("audit", size, "equal") }
    runSelf("audit", "10000", "damaged")
    print("\n" + ReadMeasurement.header)
    for size in ["1000", "10000"] {
        for format in ["json", "yaml"] { runSelf("read", size, format) }
    }
}
