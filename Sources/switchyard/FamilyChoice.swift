import ArgumentParser
import Foundation
import ProxyCore

/// The families that a command works on.
enum FamilyChoice: String, CaseIterable, ExpressibleByArgument {
    case ipv4, ipv6, both

    var families: [IPFamily] {
        switch self {
        case .ipv4: [.ipv4]
        case .ipv6: [.ipv6]
        case .both: [.ipv4, .ipv6]
        }
    }

    /// The families asked for; without IPv6 in the kernel, both means IPv4.
    ///
    /// - Parameter done: what is done with a family, for the note that says so. To be asked once in a run.
    func onThisNode(_ done: String) -> [IPFamily] {
        if self == .both, !FileManager.default.fileExists(atPath: "/proc/net/if_inet6") {
            Console.note("the kernel has no IPv6; only IPv4 is \(done)")
            return [.ipv4]
        }
        return families
    }
}
