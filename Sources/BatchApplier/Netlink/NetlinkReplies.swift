import CMnl
import Glibc
import SystemPackage

/// What the kernel answers to the requests of one exchange: a state machine that datagrams are handed to until it is
/// over.
///
/// Answers to other requests, such as late ones to an exchange that was given up, are passed over.
struct NetlinkReplies {
    /// What ends the exchange.
    enum Ending {
        /// `NLMSG_DONE`, after any number of messages.
        case dump
        /// The one message that answers the one request.
        case message
        /// `NLMSG_ERROR` for the last request, with success or not. Of the others only those that failed are
        /// answered.
        case acknowledgement
        /// The same for a transaction of nf_tables, where the last request before the end is acknowledged, and a fault
        /// of the first, which begins it, ends it too.
        case transaction
    }

    struct Failure: Hashable, Sendable {
        var index: Int
        var errno: Errno
        var explanation: String?
        var offset: Int?
        /// The request as it was sent back, where all of it was.
        var echo: [UInt8]?
    }

    let ending: Ending
    let firstSequence: UInt32
    let requestCount: Int
    private(set) var isOver = false
    /// In the order in which the kernel named them.
    private(set) var failures: [Failure] = []
    /// A dump was not of one moment.
    private(set) var wasInterrupted = false

    init(_ ending: Ending, firstSequence: UInt32, requestCount: Int = 1) {
        self.ending = ending
        self.firstSequence = firstSequence
        self.requestCount = requestCount
    }

    /// Takes a datagram apart, and hands on the messages that are neither an error nor an end.
    mutating func received(_ datagram: ArraySlice<UInt8>, _ each: (NetlinkMessage) -> Void) {
        var rest = datagram
        while let message = NetlinkMessage(takenFrom: &rest) {
            // Below the first number this wraps round to a large one.
            let index = message.sequence &- firstSequence
            guard index < requestCount, !isOver else { continue }
            if message.flags & UInt16(NLM_F_DUMP_INTR) != 0 { wasInterrupted = true }
            switch Int32(message.type) {
            case NLMSG_NOOP: break
            case NLMSG_ERROR: receivedError(message, index: Int(index))
            case NLMSG_DONE: receivedEnd(message, index: Int(index))
            case NLMSG_OVERRUN: fail(Int(index), .noBufferSpace)
            default:
                each(message)
                if ending == .message, message.flags & UInt16(NLM_F_MULTI) == 0 { isOver = true }
            }
        }
        // Bytes that are no message: the end may be among them, and would be waited for in vain.
        if !rest.isEmpty, !isOver {
            fail(requestCount - 1, .badMessage)
            isOver = true
        }
    }

    /// `nlmsgerr`: a negative errno or 0, then the header of the request, or all of it, then attributes.
    private mutating func receivedError(_ message: NetlinkMessage, index: Int) {
        let code = message.payload.hostEndian(Int32.self) ?? -EBADMSG
        if code != 0 {
            let attributes = Self.attributes(of: message)
            fail(
                index, Self.errno(code), attributes?[Int(NLMSGERR_ATTR_MSG.rawValue)]?.payload.string,
                attributes?[Int(NLMSGERR_ATTR_OFFS.rawValue)]?.payload.hostEndian(UInt32.self), Self.echo(in: message))
        }
        switch ending {
        case .acknowledgement: isOver = index == requestCount - 1
        case .transaction: isOver = index >= requestCount - 2 || index == 0
        // An acknowledgement that nobody asked for says nothing about a dump.
        case .dump, .message: isOver = code != 0
        }
    }

    /// The end of a dump may carry an errno of its own.
    private mutating func receivedEnd(_ message: NetlinkMessage, index: Int) {
        if let code = message.payload.hostEndian(Int32.self), code < 0 { fail(index, Self.errno(code)) }
        isOver = true
    }

    private mutating func fail(
        _ index: Int, _ errno: Errno, _ explanation: String? = nil, _ offset: UInt32? = nil, _ echo: [UInt8]? = nil
    ) {
        failures.append(
            Failure(index: index, errno: errno, explanation: explanation, offset: offset.map(Int.init), echo: echo))
    }

    /// The socket asks for none (`NETLINK_CAP_ACK`); ipset sends one all the same, as it names an entry in it.
    private static func echo(in message: NetlinkMessage) -> [UInt8]? {
        guard message.flags & UInt16(NLM_F_CAPPED) == 0,
            let length = message.payload.hostEndian(UInt32.self, at: 4).map(Int.init),
            length > NetlinkLayout.messageHeader, length <= message.payload.count - 4
        else { return nil }
        return Array(message.payload.dropFirst(4).prefix(length))
    }

    private static func errno(_ code: Int32) -> Errno { Errno(rawValue: code == .min ? EBADMSG : abs(code)) }

    private static func attributes(of message: NetlinkMessage) -> NetlinkAttributes? {
        guard message.flags & UInt16(NLM_F_ACK_TLVS) != 0, let length = message.payload.hostEndian(UInt32.self, at: 4)
        else { return nil }
        let isCapped = message.flags & UInt16(NLM_F_CAPPED) != 0
        let request = isCapped ? NetlinkLayout.messageHeader : NetlinkLayout.aligned(Int(length))
        return NetlinkAttributes(message.payload.dropFirst(4 + request))
    }
}
