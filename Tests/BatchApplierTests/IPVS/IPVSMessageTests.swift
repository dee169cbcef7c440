import CMnl
import ProxyCore
import SystemPackage
import Testing

@testable import BatchApplier

@Suite("Messages of IPVS")
struct IPVSMessageTests {
    private let messages = IPVSMessages(family: 0x20)

    private func key(_ address: String, _ transport: TransportProtocol, _ port: UInt16) throws -> VirtualServer.Key {
        VirtualServer.Key(try #require(IPAddress(address)), transport, port)
    }

    @Test("a virtual server is written with its scheduler's flag, its persistence and a full netmask")
    func server() throws {
        let server = VirtualServer(scheduler: IPVSScheduler("mh"), persistenceSeconds: 10800, realServers: [])
        var batch = NetlinkBatch()
        messages.append(.addServer(try key("10.0.0.1", .udp, 53), server), to: &batch)
        let expected = """
            68000000 2000 0100 00000000 00000000  01 01 0000
            5400 0180
              0600 0100 0200 0000
              0600 0200 1100 0000
              1400 0300 0a000001 00000000 00000000 00000000
              0600 0400 0035 0000
              0700 0600 6d6800 00
              0c00 0700 11000000 ffffffff
              0800 0800 302a0000
              0800 0900 ffffffff
            """
        #expect(Messages.hex(batch) == Messages.plain(expected))
    }

    @Test("a real server is written with its virtual server, by translation and with its weight")
    func realServer() throws {
        let real = RealServer(try #require(IPAddress("fd01::1")), 8080)
        var batch = NetlinkBatch()
        messages.append(.addRealServer(real, weight: 1, of: try key("fd00::1", .tcp, 80)), to: &batch)
        let expected = """
            8c000000 2000 0100 00000000 00000000  05 01 0000
            3000 0180
              0600 0100 0a00 0000
              0600 0200 0600 0000
              1400 0300 fd000000 00000000 00000000 00000001
              0600 0400 0050 0000
            4800 0280
              1400 0100 fd010000 00000000 00000000 00000001
              0600 0200 1f90 0000
              0600 0b00 0a00 0000
              0800 0300 00000000
              0800 0400 01000000
              0800 0500 00000000
              0800 0600 00000000
            """
        #expect(Messages.hex(batch) == Messages.plain(expected))
    }

    @Test("a netmask of IPv6 is the length of the prefix, and options that are not wanted are zero")
    func plainServer() throws {
        let server = VirtualServer(scheduler: IPVSScheduler(""), persistenceSeconds: nil, realServers: [])
        var batch = NetlinkBatch()
        messages.append(.changeServer(try key("fd00::1", .sctp, 9), server), to: &batch)
        let service = try #require(try Messages.message(batch).genericAttributes[IPVS_CMD_ATTR_SERVICE]?.nested)
        #expect(service[IPVS_SVC_ATTR_NETMASK]?.payload.hostEndian(UInt32.self) == 128)
        #expect(service[IPVS_SVC_ATTR_FLAGS]?.payload == [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])
        #expect(service[IPVS_SVC_ATTR_TIMEOUT]?.payload == [0, 0, 0, 0])
        #expect(service[IPVS_SVC_ATTR_SCHED_NAME]?.payload.string == "rr")
    }

    @Test("only the timeouts that are given are written")
    func timeouts() throws {
        var batch = NetlinkBatch()
        messages.append(IPVSTimeouts(tcpFin: 60), to: &batch)
        #expect(Messages.hex(batch) == Messages.plain("1c000000 20000100 00000000 00000000 0c010000 08000500 3c000000"))
    }

    /// A virtual server as the kernel lists it.
    private func listed(_ change: (inout NetlinkWriter) -> Void = { _ in }) -> NetlinkBatch {
        var batch = NetlinkBatch()
        batch.append(type: 0x20, header: [UInt8(IPVS_CMD_NEW_SERVICE), 1, 0, 0]) {
            $0.nest(IPVS_CMD_ATTR_SERVICE) {
                change(&$0)
                $0.put(IPVS_SVC_ATTR_AF, hostEndian: UInt16(2))
                $0.put(IPVS_SVC_ATTR_PROTOCOL, hostEndian: UInt16(6))
                $0.put(IPVS_SVC_ATTR_ADDR, [10, 0, 0, 1] + [UInt8](repeating: 7, count: 12))
                $0.put(IPVS_SVC_ATTR_PORT, bigEndian: UInt16(80))
                $0.put(IPVS_SVC_ATTR_SCHED_NAME, string: "mh")
                // Persistent, hashed, one packet, the client's port.
                $0.put(IPVS_SVC_ATTR_FLAGS, [0x17, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])
                $0.put(IPVS_SVC_ATTR_TIMEOUT, hostEndian: UInt32(30))
                $0.put(IPVS_SVC_ATTR_NETMASK, [255, 255, 255, 0])
            }
        }
        return batch
    }

    @Test("a virtual server is read but for the kernel's own flag")
    func read() throws {
        let (key, found) = try #require(IPVSListing.server(try Messages.message(listed())))
        #expect(key == (try self.key("10.0.0.1", .tcp, 80)))
        #expect(found.scheduler.name == "mh" && found.flags.rawValue == 0x15)
        #expect(found.persistenceSeconds == 30 && found.persistencePrefixLength == 24)
    }

    @Test("virtual servers of a firewall mark, of other families and protocols are passed over")
    func foreign() throws {
        let mark = listed { $0.put(IPVS_SVC_ATTR_FWMARK, hostEndian: UInt32(7)) }
        #expect(IPVSListing.server(try Messages.message(mark)) == nil)
        // The first of a type counts.
        let family = listed { $0.put(IPVS_SVC_ATTR_AF, hostEndian: UInt16(3)) }
        #expect(IPVSListing.server(try Messages.message(family)) == nil)
        let number = listed { $0.put(IPVS_SVC_ATTR_PROTOCOL, hostEndian: UInt16(1)) }
        #expect(IPVSListing.server(try Messages.message(number)) == nil)
        let mapped = listed {
            $0.put(IPVS_SVC_ATTR_AF, hostEndian: UInt16(10))
            $0.put(IPVS_SVC_ATTR_ADDR, [UInt8](repeating: 0, count: 10) + [255, 255, 10, 0, 0, 1])
        }
        #expect(IPVSListing.server(try Messages.message(mapped)) == nil)
    }

    @Test("a real server is read with its method and its connections; without a family it has its virtual server's")
    func readRealServer() throws {
        var batch = NetlinkBatch()
        batch.append(type: 0x20, header: [UInt8(IPVS_CMD_NEW_DEST), 1, 0, 0]) {
            $0.nest(IPVS_CMD_ATTR_DEST) {
                $0.put(IPVS_DEST_ATTR_ADDR, [10, 1, 0, 1] + [UInt8](repeating: 0, count: 12))
                $0.put(IPVS_DEST_ATTR_PORT, bigEndian: UInt16(8080))
                $0.put(IPVS_DEST_ATTR_FWD_METHOD, hostEndian: UInt32(3))
                $0.put(IPVS_DEST_ATTR_WEIGHT, hostEndian: UInt32(4))
                $0.put(IPVS_DEST_ATTR_ACTIVE_CONNS, hostEndian: UInt32(5))
                $0.put(IPVS_DEST_ATTR_INACT_CONNS, hostEndian: UInt32(6))
                $0.put(IPVS_DEST_ATTR_PERSIST_CONNS, hostEndian: UInt32(7))
            }
        }
        let (server, found) = try #require(IPVSListing.realServer(try Messages.message(batch), of: .ipv4))
        #expect(server == RealServer(try #require(IPAddress("10.1.0.1")), 8080))
        #expect(
            found
                == FoundRealServer(
                    forwarding: .directRouting, weight: 4, activeConnections: 5, inactiveConnections: 6,
                    persistentConnections: 7))
        #expect(IPVSListing.realServer(try Messages.message(listed()), of: .ipv4) == nil)
        Messages.damaged(batch) { _ = IPVSListing.realServer($0, of: .ipv6) }
    }

    @Test("no bytes make the reader of virtual servers stop the process")
    func damaged() {
        Messages.damaged(listed()) { _ = IPVSListing.server($0) }
    }

    @Test("options are compared with what is wanted, those of persistence only where it is wanted")
    func options() {
        var wanted = VirtualServer(scheduler: IPVSScheduler("rr"), persistenceSeconds: nil, realServers: [])
        var found = FoundVirtualServer(
            scheduler: IPVSScheduler("rr"), flags: [], persistenceSeconds: 0, persistencePrefixLength: 24)
        #expect(found.hasOptions(of: wanted, .ipv4))
        wanted.persistenceSeconds = 60
        #expect(!found.hasOptions(of: wanted, .ipv4))
        found.flags = .persistent
        found.persistenceSeconds = 60
        #expect(!found.hasOptions(of: wanted, .ipv4))
        found.persistencePrefixLength = 32
        #expect(found.hasOptions(of: wanted, .ipv4) && !found.hasOptions(of: wanted, .ipv6))
        wanted.scheduler = IPVSScheduler("wrr")
        #expect(!found.hasOptions(of: wanted, .ipv4))
    }

    @Test("errors name what was to be done and why it was not; what the kernel lacks is no refusal")
    func errors() {
        func error(_ errno: Errno, _ part: KernelPart, index: Int? = 0) -> (IPVSError.Kind, String) {
            let error = IPVSError(NetlinkError(operation: "do it", errno: errno, index: index), part)
            return (error.kind, error.sentence)
        }
        #expect(error(.noSuchFileOrDirectory, .servers).0 == .unsupported)
        #expect(error(.noSuchFileOrDirectory, .servers).1.contains("the module ip_vs is not loaded"))
        #expect(error(.noSuchFileOrDirectory, .server(scheduler: "mh")).1.contains("ip_vs_mh"))
        #expect(
            error(.noSuchFileOrDirectory, .server(scheduler: nil)) == (
                .refused, "cannot do it: there is no such real server"
            ))
        #expect(error(.protocolNotSupported, .sets).1.contains("the module ip_set is not loaded"))
        #expect(error(.invalidArgument, .sets).0 == .refused)
        #expect(
            error(Errno(rawValue: 4103), .sets).1.hasSuffix("the entry is there already, or is not there to be deleted")
        )
        #expect(error(Errno(rawValue: 4300), .sets) == (.refused, "cannot do it: ipset says error 4300"))
        #expect(error(.notSupportedOnSocket, .device).1.contains("the module dummy is not loaded"))
        #expect(error(.notPermitted, .device).0 == .unsupported)
        #expect(error(.permissionDenied, .servers).1.contains("CAP_NET_ADMIN"))
        #expect(error(.timedOut, .sets, index: nil).0 == .unknown)
    }
}
