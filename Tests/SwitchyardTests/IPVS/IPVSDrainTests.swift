import TestSupport
import Testing

@Suite("What goes under open connections in ipvs mode", .insideUserModeLinux)
struct IPVSDrainTests {
    @Test("keeps them to their end, gets no new ones, and is gone with the first apply after the last of them")
    func drain() throws {
        let node = try TrafficNode(.ipvs)
        defer { node.close() }
        // What is to be there in the end.
        try node.require(OpenConnections.after)
        let wanted = try IPVSKernelState(in: node.namespace)
        try node.require(OpenConnections.before)
        let connections = try OpenConnections(through: node.lab)
        try connections.expectAllAlive()

        try node.require(OpenConnections.after)
        try connections.expectAllAlive()
        try connections.expectNoneNew()
        try connections.expectNoneNewBesideOpenOnes()
        // However often it is applied.
        try node.require(OpenConnections.after)
        try connections.expectAllAlive()
        let draining = try IPVSKernelState(in: node.namespace)
        #expect(draining.servers.contains("-a -t 172.30.1.41:90 -r 10.180.2.9:9090 -m -w 0"))
        #expect(draining.addresses.contains("172.30.1.42/32"))
        #expect(wanted.servers.subtracting(draining.servers) == [])

        try connections.end()
        try node.namespace.require(["sleep", "11"])
        try node.require(OpenConnections.after)
        #expect(try IPVSKernelState(in: node.namespace).differences(from: wanted) == [])
    }
}
