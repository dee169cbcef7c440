import CMnl
import ProxyCore
import SystemPackage
import Testing

@testable import BatchApplier

@Suite("Messages of sets")
struct IPSetMessageTests {
    private let messages = IPSetMessages(version: 7)

    private func key(_ address: String, _ transport: TransportProtocol, _ port: UInt16) throws -> VirtualServer.Key {
        VirtualServer.Key(try #require(IPAddress(address)), transport, port)
    }

    @Test("entries are written in one list, each with its number, in flagged network order")
    func addition() throws {
        let entry = IPSetEntry.range(try key("10.0.0.1", .tcp, 80), try #require(CIDR("10.128.0.0/9")))
        let batch = messages.change(IPSET_CMD_ADD, [entry, .port(5)], of: "K")
        let expected = """
            80000000 0906 0100 00000000 00000000  02 00 0000
            0500 0100 07 000000
            0600 0200 4b00 0000
            0800 0900 00000000
            5400 0880
              3c00 0780
                0c00 0180  0800 0140 0a000001
                0600 0440 0050 0000
                0500 0700 06 000000
                0c00 1480  0800 0140 0a800000
                0500 1500 09 000000
                0800 0900 01000000
              1400 0780
                0600 0440 0005 0000
                0800 0900 02000000
            """
        #expect(Messages.hex(batch) == Messages.plain(expected))
    }

    @Test("sets of ports have a range, and those of hashes sizes and a family")
    func creation() throws {
        let ports = """
            58000000 0206 0100 00000000 00000000  02 00 0000
            0500 0100 07 000000
            0600 0200 4b00 0000
            1000 0300 6269746d 61703a70 6f727400
            0500 0400 01 000000
            0500 0500 00 000000
            1400 0780
              0600 0440 0000 0000
              0600 0540 ffff 0000
            """
        #expect(Messages.hex(messages.create("K", .ports, .ipv6)) == Messages.plain(ports))
        let hashes = """
            54000000 0206 0100 00000000 00000000  02 00 0000
            0500 0100 07 000000
            0600 0200 4b00 0000
            0c00 0300 68617368 3a697000
            0500 0400 01 000000
            0500 0500 0a 000000
            1400 0780
              0800 1240 00000400
              0800 1340 00010000
            """
        #expect(Messages.hex(messages.create("K", .addresses, .ipv6)) == Messages.plain(hashes))
    }

    @Test("a full message is shorter than a list can be", arguments: IPFamily.allCases)
    func fullMessage(_ family: IPFamily) throws {
        let key = try key(family == .ipv4 ? "10.0.0.1" : "fd00::1", .tcp, 80)
        let entry = IPSetEntry.range(key, .init(key.address))
        let entries = [IPSetEntry](repeating: entry, count: IPSetMessages.entriesAtOnce)
        let batch = messages.change(IPSET_CMD_ADD, entries[...], of: String(repeating: "K", count: 31))
        #expect(!batch.isTooLong && batch.byteCount < 60_000)
    }

    @Test("the entry that was refused is named by the number that the kernel wrote into the request")
    func refusedEntry() throws {
        var echo = messages.change(IPSET_CMD_ADD, [.port(5), .port(6)], of: "K").bytes
        #expect(IPSetMessages.refusedEntry(NetlinkError(operation: "add", errno: .fileExists, echo: echo)) == nil)
        echo.replaceSubrange(40..<44, with: [2, 0, 0, 0])
        #expect(IPSetMessages.refusedEntry(NetlinkError(operation: "add", errno: .fileExists, echo: echo)) == 1)
        #expect(IPSetMessages.refusedEntry(NetlinkError(operation: "add", errno: .fileExists)) == nil)
        for end in 0..<44 {
            let error = NetlinkError(operation: "add", errno: .fileExists, echo: Array(echo[..<end]))
            #expect(IPSetMessages.refusedEntry(error) == nil)
        }
    }

    /// A message of a listing; the entries' lists of attributes are written by the caller.
    private func listed(
        _ name: String, _ type: String?, _ entries: [(inout NetlinkWriter) -> Void]
    ) -> NetlinkBatch {
        var batch = NetlinkBatch()
        batch.append(subsystem: NFNL_SUBSYS_IPSET, message: 7, family: 2) {
            $0.put(IPSET_ATTR_PROTOCOL, [7])
            $0.put(IPSET_ATTR_SETNAME, string: name)
            if let type {
                $0.put(IPSET_ATTR_TYPENAME, string: type)
                $0.put(IPSET_ATTR_FAMILY, [type == "bitmap:port" ? 0 : 2])
                $0.nest(IPSET_ATTR_DATA) {
                    $0.put(IPSET_ATTR_MAXELEM | Int(NLA_F_NET_BYTEORDER), bigEndian: UInt32(65_536))
                    $0.put(IPSET_ATTR_REFERENCES | Int(NLA_F_NET_BYTEORDER), bigEndian: UInt32(3))
                    $0.put(IPSET_ATTR_ELEMENTS | Int(NLA_F_NET_BYTEORDER), bigEndian: UInt32(9))
                }
            }
            $0.nest(IPSET_ATTR_ADT) { list in for entry in entries { list.nest(IPSET_ATTR_DATA, entry) } }
        }
        return batch
    }

    private static func putKey(_ writer: inout NetlinkWriter, protocol number: UInt8 = 6) {
        writer.nest(IPSET_ATTR_IP) { $0.put(IPSET_ATTR_IPADDR_IPV4 | Int(NLA_F_NET_BYTEORDER), [10, 0, 0, 1]) }
        writer.put(IPSET_ATTR_PORT | Int(NLA_F_NET_BYTEORDER), bigEndian: UInt16(80))
        writer.put(IPSET_ATTR_PROTO, [number])
    }

    @Test("a set that comes in several messages is read together, with the header of the first")
    func listing() throws {
        var listing = IPSetListing()
        listing.received(
            try Messages.message(listed("K", "bitmap:port", [{ $0.put(IPSET_ATTR_PORT, bigEndian: UInt16(1)) }])))
        listing.received(try Messages.message(listed("K", nil, [{ $0.put(IPSET_ATTR_PORT, bigEndian: UInt16(2)) }])))
        listing.received(try Messages.message(listed("L", "hash:ip,port", [{ Self.putKey(&$0) }])))
        #expect(listing.sets.keys.sorted() == ["K", "L"])
        #expect(listing.sets["K"]?.entries == [.port(1), .port(2)])
        #expect(listing.sets["L"]?.entries == [.addressAndPort(try key("10.0.0.1", .tcp, 80))])
        let header = try #require(listing.sets["L"]?.header)
        #expect(header.references == 3 && header.entryCount == 9 && header.isSuitable(for: .addressesAndPorts, .ipv4))
        #expect(!header.isSuitable(for: .addressesAndPorts, .ipv6) && !header.isSuitable(for: .pairs, .ipv4))
        #expect(listing.sets["K"]?.header.isSuitable(for: .ports, .ipv4) == false)
    }

    @Test("what is no entry of ours is counted, not taken for one")
    func unknown() throws {
        var listing = IPSetListing()
        let foreign: [(inout NetlinkWriter) -> Void] = [
            { Self.putKey(&$0, protocol: 1) },
            {
                Self.putKey(&$0)
                $0.put(IPSET_ATTR_TIMEOUT, bigEndian: UInt32(60))
            },
            {
                Self.putKey(&$0)
                $0.put(IPSET_ATTR_CADT_FLAGS, bigEndian: UInt32(4))
            },
            { $0.put(IPSET_ATTR_PORT, bigEndian: UInt16(80)) },
        ]
        let known: (inout NetlinkWriter) -> Void = {
            Self.putKey(&$0)
            $0.put(IPSET_ATTR_PACKETS, bigEndian: UInt64(60))
        }
        listing.received(try Messages.message(listed("K", "hash:ip,port", foreign + [known])))
        #expect(listing.sets["K"]?.entries.count == 1 && listing.sets["K"]?.unknownEntryCount == 4)
        listing.received(try Messages.message(listed("M", "hash:mac", [known])))
        #expect(listing.sets["M"]?.entries.count == 0 && listing.sets["M"]?.unknownEntryCount == 1)
    }

    @Test("no bytes make the reader of sets stop the process")
    func damaged() throws {
        let batch = listed(
            "K", "hash:ip,port,net",
            [
                {
                    Self.putKey(&$0)
                    $0.nest(IPSET_ATTR_IP2) { $0.put(IPSET_ATTR_IPADDR_IPV4, [10, 0, 0, 0]) }
                    $0.put(IPSET_ATTR_CIDR2, [8])
                }
            ])
        var whole = IPSetListing()
        whole.received(try Messages.message(batch))
        #expect(whole.sets["K"]?.entries == [.range(try key("10.0.0.1", .tcp, 80), try #require(CIDR("10.0.0.0/8")))])
        Messages.damaged(batch) {
            var listing = IPSetListing()
            listing.received($0)
        }
    }
}
