import CMnl
import SystemPackage

/// Families of generic netlink, which get their numbers when their modules are loaded (linux/genetlink.h).
enum GenericNetlink {
    /// Asks for the number of a family. Throws `isNotFound` where the kernel has none by the name.
    static func number(of family: String, _ socket: inout NetlinkSocket) throws(NetlinkError) -> UInt16 {
        var request = NetlinkBatch()
        request.append(type: UInt16(GENL_ID_CTRL), header: [UInt8(CTRL_CMD_GETFAMILY), 1, 0, 0]) {
            $0.put(CTRL_ATTR_FAMILY_NAME, string: family)
        }
        let operation = "find the netlink family \(family)"
        let answer = try socket.ask(request, operation: operation)
        guard let number = answer.genericAttributes[CTRL_ATTR_FAMILY_ID]?.payload.hostEndian(UInt16.self) else {
            throw NetlinkError(operation: operation, errno: .badMessage)
        }
        return number
    }
}

extension NetlinkMessage {
    /// The attributes after the header of generic netlink (`genlmsghdr`).
    var genericAttributes: NetlinkAttributes { NetlinkAttributes(payload.dropFirst(4)) }
}
