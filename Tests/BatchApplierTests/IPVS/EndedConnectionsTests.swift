import ProxyCore
import SystemPackage
import Testing

@testable import BatchApplier

@Suite("Connections that are over")
struct EndedConnectionsTests {
    /// As Linux 6.1 writes it.
    private static let table = """
        Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
        TCP 0AB40209 C350 AC1E0001 0050 0AB40101 1F90 TIME_WAIT       118
        TCP 0AB40209 C351 AC1E0001 0050 0AB40101 1F90 ESTABLISHED     899
        TCP 0AB40209 C352 AC1E0001 0050 0AB40101 1F90 CLOSE             7
        TCP 0AB40209 C353 AC1E0001 0050 0AB40101 1F90 CLOSE_WAIT       58
        TCP 0AB40209 C354 AC1E0001 0050 0AB40102 1F90 TIME_WAIT       118
        TCP 0AB40209 C355 AC1E0001 0051 0AB40101 1F90 TIME_WAIT       118
        UDP 0AB40209 C356 AC1E0001 0050 0AB40101 1F90 TIME_WAIT       118
        TCP fd00:0010:0180:0002:0000:0000:0000:0009 C357 fd00:0010:0096:0000:0000:0000:0000:0001 005A fd00:0010:0180:0001:0000:0000:0000:0002 2382 TIME_WAIT       119

        """

    private static func key(_ address: String, _ port: UInt16) throws -> VirtualServer.Key {
        .init(try #require(IPAddress(address)), .tcp, port)
    }

    private static func server(_ address: String, _ port: UInt16) throws -> RealServer {
        RealServer(try #require(IPAddress(address)), port)
    }

    @Test(
        "are counted for the real servers that are asked for, wherever the text is cut", arguments: [1, 7, 100, 4096])
    func counts(_ pieceSize: Int) throws {
        let asked = [
            (try Self.key("172.30.0.1", 80), try Self.server("10.180.1.1", 8080)),
            (try Self.key("fd00:10:96::1", 90), try Self.server("fd00:10:180:1::2", 9090)),
            (try Self.key("172.30.0.9", 80), try Self.server("10.180.1.1", 8080)),
        ]
        var ended = EndedConnections(to: asked)
        let bytes = Array(Self.table.utf8)
        for start in stride(from: 0, to: bytes.count, by: pieceSize) {
            ended.take(bytes[start..<min(start + pieceSize, bytes.count)])
        }
        #expect(asked.map { ended.count(to: $0.1, of: $0.0) } == [2, 1, 0])
    }

    @Test("are not known where there is no table")
    func missing() throws {
        var ended = EndedConnections(to: [])
        #expect(throws: Errno.noSuchFileOrDirectory) { try ended.read("/proc/self/net/no-such-table") }
    }
}
