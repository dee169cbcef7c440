import CMnl
import ProxyCore
import Testing

@testable import BatchApplier

@Suite("Messages of devices and addresses")
struct DeviceMessageTests {
    @Test("an address is added alone and without a range")
    func addition() throws {
        var batch = NetlinkBatch()
        DeviceMessages.append(additionOf: try #require(IPAddress("10.0.0.1")), to: 7, &batch)
        #expect(
            Messages.hex(batch)
                == Messages.plain(
                    """
                    28000000 1400 0106 00000000 00000000  02 20 00 00 07000000
                    0800 0200 0a000001
                    0800 0100 0a000001
                    """))
    }

    @Test("an address of IPv6 is added as one that nothing is sent from")
    func deprecated() throws {
        var batch = NetlinkBatch()
        DeviceMessages.append(additionOf: try #require(IPAddress("fd00::1")), to: 7, isThere: true, &batch)
        #expect(
            Messages.hex(batch)
                == Messages.plain(
                    """
                    54000000 1400 0101 00000000 00000000  0a 80 00 00 07000000
                    1400 0200 fd000000 00000000 00000000 00000001
                    1400 0100 fd000000 00000000 00000000 00000001
                    1400 0600 00000000 ffffffff 00000000 00000000
                    """))
        for (flags, isPreferred) in [(UInt8(0x80), true), (0xa0, false)] {
            var listed = NetlinkBatch()
            listed.append(type: UInt16(RTM_NEWADDR), header: [10, 128, flags, 0, 7, 0, 0, 0])
            #expect(DeviceMessages.isPreferred(try Messages.message(listed)) == isPreferred)
        }
    }

    @Test("a device is made as a dummy")
    func creation() {
        #expect(
            Messages.hex(DeviceMessages.create("d0"))
                == Messages.plain(
                    """
                    38000000 1000 0106 00000000 00000000  00000000 00000000 00000000 00000000
                    0700 0300 643000 00
                    1000 1280  0a00 0100 64756d6d 7900 0000
                    """))
    }

    private func listed(
        _ address: [UInt8], prefixLength: UInt8, device: UInt32 = 7, family: UInt8 = 2
    ) throws -> NetlinkBatch {
        var batch = NetlinkBatch()
        let header = [family, prefixLength, 0, 0] + withUnsafeBytes(of: device) { Array($0) }
        batch.append(type: UInt16(RTM_NEWADDR), header: header) { $0.put(IFA_ADDRESS, address) }
        return batch
    }

    @Test("only addresses that stand alone on the device are its own")
    func listing() throws {
        let own = try listed([10, 0, 0, 1], prefixLength: 32)
        #expect(DeviceMessages.address(try Messages.message(own), of: 7) == IPAddress("10.0.0.1"))
        #expect(DeviceMessages.address(try Messages.message(own), of: 8) == nil)
        let network = try listed([10, 0, 0, 1], prefixLength: 24)
        #expect(DeviceMessages.address(try Messages.message(network), of: 7) == nil)
        let mixed = try listed([10, 0, 0, 1], prefixLength: 32, family: 10)
        #expect(DeviceMessages.address(try Messages.message(mixed), of: 7) == nil)
        Messages.damaged(own) { _ = DeviceMessages.address($0, of: 7) }
    }

    @Test("a device is known by its number and kind, whatever bytes come")
    func device() throws {
        var batch = NetlinkBatch()
        batch.append(type: UInt16(RTM_NEWLINK), header: [0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) {
            $0.nest(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, string: "dummy") }
        }
        let found = try #require(DeviceMessages.Found(try Messages.message(batch)))
        #expect(found.index == 9 && found.kind == "dummy")
        Messages.damaged(batch) { _ = DeviceMessages.Found($0) }
    }
}
