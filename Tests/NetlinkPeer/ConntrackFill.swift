import BatchApplier
import CMnl
import Glibc

/// Makes entries in the table of connections, each with a source of its own.
///
///     conntrack-fill udp|tcp COUNT DESTINATION PORT ENDPOINT PORT [SPREAD [FIRST]]
///
/// With SPREAD the entries go by turns to that many destinations, the addresses after the first one. Sources are
/// numbered from FIRST.
func fillConntrack(_ words: ArraySlice<String>) throws {
    let words = Array(words)
    guard words.count >= 6, let count = Int(words[1]), let port = UInt16(words[3]), let endpointPort = UInt16(words[5]),
        let destination = addressBytes(words[2]), let endpoint = addressBytes(words[4]),
        destination.count == endpoint.count
    else { Output.fail("conntrack-fill needs udp|tcp COUNT DESTINATION PORT ENDPOINT PORT") }
    let number = words[0] == "udp" ? UInt8(IPPROTO_UDP) : UInt8(IPPROTO_TCP)
    let spread = words.count > 6 ? Int(words[6]) ?? 1 : 1
    let first = words.count > 7 ? Int(words[7]) ?? 0 : 0

    var socket = try NetlinkSocket(options: .init(receiveBuffer: 4 << 20, sendBuffer: 4 << 20))
    var batch = NetlinkBatch()
    func send() throws {
        for failure in try socket.perform(batch, operation: "make connections").prefix(1) { throw failure }
        batch = NetlinkBatch()
    }
    for index in first..<(first + count) {
        let source =
            (destination.count == 4 ? [198] : [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 9)) + [
                UInt8(truncatingIfNeeded: 18 + (index >> 28)), UInt8(truncatingIfNeeded: index >> 20 & 0xff),
                UInt8(truncatingIfNeeded: index >> 12 & 0xff),
            ]
        let sourcePort = UInt16(1024 + (index & 0xfff))
        let to = following(destination, index % spread)
        batch.append(
            subsystem: NFNL_SUBSYS_CTNETLINK, message: Int(IPCTNL_MSG_CT_NEW.rawValue),
            family: UInt8(destination.count == 4 ? AF_INET : AF_INET6), flags: NLM_F_CREATE | NLM_F_EXCL
        ) {
            $0.put(tuple: Int(CTA_TUPLE_ORIG.rawValue), number, from: source, sourcePort, to: to, port)
            $0.put(tuple: Int(CTA_TUPLE_REPLY.rawValue), number, from: endpoint, endpointPort, to: source, sourcePort)
            $0.put(Int(CTA_TIMEOUT.rawValue), bigEndian: UInt32(600))
        }
        if batch.count == 500 { try send() }
    }
    try send()
}

extension NetlinkWriter {
    fileprivate mutating func put(
        tuple: Int, _ number: UInt8, from source: [UInt8], _ sourcePort: UInt16, to destination: [UInt8],
        _ destinationPort: UInt16
    ) {
        let isIPv4 = source.count == 4
        nest(tuple) { tuple in
            tuple.nest(Int(CTA_TUPLE_IP.rawValue)) {
                $0.put(Int((isIPv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC).rawValue), source)
                $0.put(Int((isIPv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST).rawValue), destination)
            }
            tuple.nest(Int(CTA_TUPLE_PROTO.rawValue)) {
                $0.put(Int(CTA_PROTO_NUM.rawValue), [number])
                $0.put(Int(CTA_PROTO_SRC_PORT.rawValue), bigEndian: sourcePort)
                $0.put(Int(CTA_PROTO_DST_PORT.rawValue), bigEndian: destinationPort)
            }
        }
    }
}

/// The address `count` after another, within its last two bytes.
private func following(_ address: [UInt8], _ count: Int) -> [UInt8] {
    let number = (Int(address[address.count - 2]) << 8) + Int(address[address.count - 1]) + count
    return address.dropLast(2) + [UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)]
}

private func addressBytes(_ text: String) -> [UInt8]? {
    let family = text.contains(":") ? AF_INET6 : AF_INET
    var bytes = [UInt8](repeating: 0, count: family == AF_INET ? 4 : 16)
    return inet_pton(family, text, &bytes) == 1 ? bytes : nil
}
