import Glibc

/// The executables of this package, built beside the test bundle.
package enum BuiltProducts {
    package static let switchyard = path("switchyard", override: "SWITCHYARD_EXECUTABLE")
    package static let trafficPeer = path("traffic-peer", override: nil)
    package static let netlinkPeer = path("netlink-peer", override: nil)
    package static let ipvsPeer = path("ipvs-peer", override: nil)
    package static let nftablesPeer = path("nftables-peer", override: nil)
    package static let packetPeer = path("packet-peer", override: nil)
    package static let testAPIServer = path("test-api-server", override: nil)

    /// The environment variable lets the same tests judge an installed or a release build.
    private static func path(_ name: String, override variable: String?) -> String {
        if let variable, let value = getenv(variable) { return String(cString: value) }
        return directory + "/" + name
    }

    /// The test bundle: it is the running program, or an argument of the program that loads it.
    package static let testBundle: String = {
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? "/proc/self/exe"
        guard let resolved = realpath(bundle, nil) else { preconditionFailure("cannot resolve \(bundle)") }
        defer { free(resolved) }
        return String(cString: resolved)
    }()

    private static let directory = testBundle.lastIndex(of: "/").map { String(testBundle[..<$0]) } ?? "."
}
