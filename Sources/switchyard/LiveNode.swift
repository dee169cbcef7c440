public import ArgumentParser
public import BatchApplier
import Foundation
import ProxyCore

// What commands that work on the kernel of this node have in common.

extension IPTablesVariant: ExpressibleByArgument {}

extension FamilyChoice {
    /// The families asked for; without IPv6 in the kernel, both means IPv4.
    ///
    /// - Parameter done: what is done with a family, for the note that says so.
    func onThisNode(_ done: String) -> [IPFamily] {
        if self == .both, !FileManager.default.fileExists(atPath: "/proc/net/if_inet6") {
            Console.report("switchyard: note: the kernel has no IPv6; only IPv4 is \(done)")
            return [.ipv4]
        }
        return families
    }
}

/// Whether rules count packets in the kernel's accounting objects.
struct AccountingChoice {
    /// True and false as asked for; nil for wherever the kernel has such objects.
    let asked: Bool?
    let isDryRun: Bool

    init(_ asked: Bool?, isDryRun: Bool = false) {
        self.asked = asked
        self.isDryRun = isDryRun
    }

    /// Decides, and makes the objects that rules count in.
    func make(warn: (String) -> Void) -> Bool {
        guard asked != false else { return false }
        if isDryRun { return asked ?? Accounting.isSupported() }
        do {
            try Accounting.ensure(Accounting.objectNames)
            return true
        } catch {
            if asked == true || !error.isUnsupported { warn("packets are not counted: \(error)") }
            return false
        }
    }
}
