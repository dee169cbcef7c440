import ProxyCore
import Testing

@testable import BatchApplier

@Suite("Open connections")
struct OpenConnectionTests {
    @Test("of IPVS are those that an end has not closed, wherever the text is cut", arguments: [1, 7, 100, 4096])
    func ipvs(_ pieceSize: Int) throws {
        let table = """
            Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
            TCP 0AB401C8 BAC6 AC1E0101 0050 0AB40109 1F90 ESTABLISHED     899
            TCP 0AB401C8 BAC7 AC1E0101 0050 0AB40109 1F90 FIN_WAIT        119
            TCP 0AB401C8 BAC8 AC1E0101 0050 0AB40109 1F90 TIME_WAIT       119
            TCP 0AB401C8 BAC9 AC1E0101 0050 0AB40109 1F90 SYN_SENT        119
            TCP 0AB401C8 0000 AC1E0106 0050 0AB40109 1F90 NONE            10
            UDP 0AB401C8 BACA AC1E0101 0050 0AB40109 1F90 UDP             299
            TCP fd00:0010:0180:0001:0000:0000:0000:0200 BAC6 2001:0db8:0000:0000:0000:0000:0000:0002 7919 fd00:0010:0180:0000:0000:0000:0000:0009 1F90 SYN_RECV     56
            SCTP 0AB401C8 BAC6 AC1E0101 0051 0AB40109 1F90 ESTABLISHED     899
            TCP nonsense

            """
        var connections = IPVSConnections()
        let bytes = Array(table.utf8)
        for start in stride(from: 0, to: bytes.count, by: pieceSize) {
            connections.take(bytes[start..<min(start + pieceSize, bytes.count)])
        }
        let server = RealServer(try #require(IPAddress("10.180.1.9")), 8080)
        let other = RealServer(try #require(IPAddress("fd00:10:180::9")), 8080)
        #expect(
            connections.open == [
                .init(try #require(IPAddress("172.30.1.1")), .tcp, 80): [server: 2],
                .init(try #require(IPAddress("2001:db8::2")), .tcp, 31001): [other: 1],
                .init(try #require(IPAddress("172.30.1.1")), .sctp, 81): [server: 1],
            ])
    }

    @Test("of the node are counted by their own address, in either family")
    func sockets() throws {
        // As a little-endian machine prints them.
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 01011EAC:BAC6 0901B40A:1F90 01 00000000:00000000 00:00000000 00000000     0        0 1
               1: 01011EAC:BAC7 0901B40A:1F90 02 00000000:00000000 00:00000000 00000000     0        0 2
               2: 01011EAC:BAC8 0901B40A:1F90 06 00000000:00000000 00:00000000 00000000     0        0 3
               3: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4
               4: 0000000000000000FFFF000001011EAC:BAC9 0000000000000000FFFF00000901B40A:1F90 01 00000000:00000000
               5: B80D0120000000000000000002000000:BAC9 B80D0120000000000000000003000000:1F90 08 00000000:00000000
               6: nonsense:BAC9 x 01

            """
        #expect(
            LocalSockets.open(in: table) == [
                try #require(IPAddress("172.30.1.1")): 3, try #require(IPAddress("2001:db8::2")): 1,
            ])
    }

    @Test("keep their virtual server, its address, and by what a node port is known; all else goes")
    func inUse() throws {
        let (cluster, node) = (try #require(IPAddress("172.30.1.1")), try #require(IPAddress("192.168.0.2")))
        let other = try #require(IPAddress("172.30.1.2"))
        let keys = [cluster, other, node].map { VirtualServer.Key($0, .tcp, 80) }
        let server = FoundVirtualServer(
            scheduler: .init("rr"), flags: [], persistenceSeconds: 0, persistencePrefixLength: 32)
        var remains = IPVSRemains(family: .ipv4)
        remains.servers = Dictionary(uniqueKeysWithValues: keys.map { ($0, server) })
        remains.addresses = [cluster, other]
        remains.sets = ["KUBE-CLUSTER-IP", "KUBE-NODE-PORT-TCP"]
        remains.hasDevice = true
        #expect(remains.inUse.isEmpty)
        #expect(remains.subtracting(remains.inUse) == remains)

        remains.openConnections = [keys[0]: 1]
        #expect(Set(remains.inUse.servers.keys) == [keys[0]])
        #expect(remains.inUse.addresses == [cluster] && remains.inUse.sets == [])
        let rest = remains.subtracting(remains.inUse)
        #expect(Set(rest.servers.keys) == [keys[1], keys[2]] && rest.addresses == [other] && !rest.hasDevice)

        remains.openConnections = [keys[2]: 1]
        #expect(remains.inUse.sets == ["KUBE-CLUSTER-IP", "KUBE-NODE-PORT-TCP"])
        #expect(remains.subtracting(remains.inUse).hasDevice)

        remains.openConnections = [:]
        remains.localConnections = [other: 2]
        #expect(remains.inUse.servers.isEmpty && remains.inUse.addresses == [other])
    }
}
