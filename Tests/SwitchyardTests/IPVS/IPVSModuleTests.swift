import GoldenSupport
import TestSupport
import Testing

/// What the commands say of a kernel that lacks a module. Nothing else runs in it meanwhile.
@Suite("Modules of ipvs mode that are missing", .insideUserModeLinux, .serialized)
struct IPVSModuleTests {
    /// Takes modules away, and those that need them, and has the kernel not load them again while `body` runs.
    private func without(_ modules: String, _ body: () throws -> Void) throws {
        try Command.require(["sh", "-c", "echo /bin/false >/proc/sys/kernel/modprobe"])
        defer { restore() }
        try takeAway(modules)
        try body()
    }

    private func restore() {
        _ = try? Command.run(["sh", "-c", "echo /run/modprobe >/proc/sys/kernel/modprobe; /run/modprobe ip_vs"])
    }

    private func takeAway(_ modules: String) throws {
        // A namespace is taken down beside what runs, and what it has is in use until then.
        try Command.require(
            ["sh", "-es"],
            input: """
                for attempt in $(seq 100); do
                    left=$(grep -E '^(\(modules)) ' /proc/modules | cut -d' ' -f1)
                    [ -n "$left" ] || exit 0
                    for module in $left; do rmmod $module 2>/dev/null || true; done
                    sleep 0.05
                done
                echo "in use: $left" >&2
                exit 1

                """)
    }

    private func apply(in namespace: Namespace) throws -> Command.Result {
        let golden = GoldenCase.named("affinity")
        return try namespace.run(
            [BuiltProducts.switchyard, "apply", "--mode", "ipvs", "--variant", "legacy", "-f", golden.cluster]
                + ["--config", golden.configuration])
    }

    @Test(
        "are named, and with them everything works",
        arguments: [
            (
                "dummy",
                "cannot make the device kube-ipvs0: this kernel has no dummy devices, or the module dummy is not loaded"
            ),
            (
                "ip_set_hash_ipportip",
                "this kernel has no sets of this type: the module of the type (ip_set_…) is missing"
            ),
            ("xt_ipvs|ip_vs.*", "this kernel has no IPVS, or the module ip_vs is not loaded"),
        ])
    func missing(_ modules: String, _ sentence: String) throws {
        let namespace = try Namespace()
        try namespace.require(["ip", "link", "set", "lo", "up"])
        try without(modules) {
            let result = try apply(in: namespace)
            #expect(result.status == 1)
            let errors = result.errors.split(separator: "\n").filter { $0.hasPrefix("switchyard: error") }
            #expect(errors.count == 2, "\(result.errors)")
            #expect(errors.allSatisfy { $0.contains(sentence) }, "\(result.errors)")
        }
        let result = try apply(in: namespace)
        #expect(result.status == 0, "\(result.errors)")
    }

    @Test(
        "are found by check, and they alone",
        arguments: [
            (
                "dummy|ip_set_hash_ipportip|xt_ipvs",
                ["sets of the type hash:ip,port,ip", "dummy devices", "the match ipvs"]
            ), ("xt_ipvs|ip_vs.*", ["IPVS, or its module ip_vs is not loaded", "the match ipvs"]),
        ])
    func check(_ modules: String, _ names: [String]) throws {
        let namespace = try Namespace()
        let check = [BuiltProducts.switchyard, "check", "--mode", "ipvs", "--variant", "legacy", "--family", "ipv4"]
        // Loads all there are.
        #expect(try namespace.run(check).status == 0)
        try without(modules) {
            let result = try namespace.run(check)
            #expect(result.status == 1)
            let lines = result.output.split(separator: "\n").filter { $0.contains(" lacks ") }
            #expect(lines.count == names.count, "\(result)")
            for (line, name) in zip(lines, names) { #expect(line.contains(" lacks \(name) ("), "\(line)") }
            #expect(!result.output.contains("has everything"), "\(result)")
        }
    }

    @Test(
        "are not loaded by a cleanup, which has nothing to do without them, nor by a look for what serves",
        arguments: [
            ["cleanup", "--mode", "ipvs"],
            ["explain", "--live", "--node-address", "10.0.0.1", "--from", "10.0.0.2", "--to", "10.0.0.3:1"],
        ])
    func quiet(_ command: [String]) throws {
        let namespace = try Namespace()
        defer { restore() }
        try takeAway("xt_set|xt_ipvs|ip_set.*|ip_vs.*")
        let result = try namespace.run([BuiltProducts.switchyard] + command + ["--variant", "legacy"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(try Command.run(["grep", "-E", "^(ip_set|ip_vs)", "/proc/modules"]).output == "")
    }
}
