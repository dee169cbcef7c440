import CMnl

/// Requests that are sent together, in order.
///
/// Sequence numbers are put in by the socket, so that a batch can be sent again.
package struct NetlinkBatch: Sendable {
    private(set) var bytes: [UInt8] = []
    /// Where each request begins.
    private(set) var offsets: [Int] = []
    /// True when an attribute or a nest became longer than its length field can say.
    private(set) var isTooLong = false

    package init() {}

    /// How many requests it has.
    package var count: Int { offsets.count }
    /// What it takes in the send buffer.
    package var byteCount: Int { bytes.count }

    /// Adds a request to a subsystem of nfnetlink.
    ///
    /// - Parameters:
    ///   - subsystem: such as `NFNL_SUBSYS_CTNETLINK`.
    ///   - message: the message within the subsystem.
    ///   - family: the address family in its header.
    ///   - flags: beside `NLM_F_REQUEST`; the socket adds those for a dump or an acknowledgement.
    package mutating func append(
        subsystem: Int32, message: Int, family: UInt8, flags: Int32 = 0,
        _ attributes: (inout NetlinkWriter) -> Void = { _ in }
    ) {
        let type = UInt16(truncatingIfNeeded: Int(subsystem) << 8 | message)
        append(type: type, flags: flags, header: [family, UInt8(NFNETLINK_V0), 0, 0], attributes)
    }

    /// Adds a request.
    ///
    /// - Parameter header: the family's own header.
    package mutating func append(
        type: UInt16, flags: Int32 = 0, header: [UInt8], _ attributes: (inout NetlinkWriter) -> Void = { _ in }
    ) {
        let start = bytes.count
        offsets.append(start)
        var writer = NetlinkWriter(bytes)
        bytes = []
        writer.write(hostEndian: UInt32(0))
        writer.write(hostEndian: type)
        writer.write(hostEndian: UInt16(truncatingIfNeeded: flags | NLM_F_REQUEST))
        writer.write(hostEndian: UInt64(0))
        writer.write(header)
        attributes(&writer)
        // In the writer, which alone has the bytes: here they would be copied, with all requests before.
        writer.store(UInt32(truncatingIfNeeded: writer.bytes.count - start), at: start)
        isTooLong = isTooLong || writer.isTooLong
        bytes = writer.bytes
    }

    /// Adds requests that are complete but for their sequence numbers.
    package mutating func append(messages: [UInt8], at starts: [Int]) {
        let base = bytes.count
        offsets.reserveCapacity(offsets.count + starts.count + 1)
        for start in starts { offsets.append(base + start) }
        bytes.reserveCapacity(base + messages.count + 64)
        bytes += messages
    }

    /// Numbers the requests from `first` on.
    mutating func number(from first: UInt32) {
        for (index, offset) in offsets.enumerated() {
            store(first &+ UInt32(truncatingIfNeeded: index), at: offset + 8)
        }
    }

    /// Adds flags to one request.
    mutating func add(flags: Int32, to index: Int) {
        let offset = offsets[index] + 6
        let present = bytes[offset...].hostEndian(UInt16.self) ?? 0
        store(present | UInt16(truncatingIfNeeded: flags), at: offset)
    }

    private mutating func store<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: number, toByteOffset: offset, as: Number.self) }
    }
}

/// Writes the attributes of one request.
package struct NetlinkWriter {
    fileprivate var bytes: [UInt8]
    fileprivate var isTooLong = false

    fileprivate init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    package mutating func put(_ type: Int, _ payload: some Collection<UInt8>) {
        attribute(type) { $0.bytes.append(contentsOf: payload) }
    }

    /// A string with the zero byte that ends it.
    package mutating func put(_ type: Int, string: String) {
        attribute(type) {
            $0.bytes.append(contentsOf: string.utf8)
            $0.bytes.append(0)
        }
    }

    package mutating func put<Number: FixedWidthInteger>(_ type: Int, bigEndian number: Number) {
        attribute(type) { $0.write(hostEndian: number.bigEndian) }
    }

    package mutating func put<Number: FixedWidthInteger>(_ type: Int, hostEndian number: Number) {
        attribute(type) { $0.write(hostEndian: number) }
    }

    package mutating func nest(_ type: Int, _ body: (inout NetlinkWriter) -> Void) {
        attribute(type | Int(NLA_F_NESTED), body)
    }

    private mutating func attribute(_ type: Int, _ body: (inout NetlinkWriter) -> Void) {
        let start = bytes.count
        write(hostEndian: UInt16(0))
        write(hostEndian: UInt16(truncatingIfNeeded: type))
        body(&self)
        if let length = UInt16(exactly: bytes.count - start) {
            store(length, at: start)
        } else {
            isTooLong = true
        }
        while bytes.count % 4 != 0 { bytes.append(0) }
    }

    fileprivate mutating func store<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: number, toByteOffset: offset, as: Number.self) }
    }

    fileprivate mutating func write(hostEndian number: some FixedWidthInteger) {
        withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) }
    }

    fileprivate mutating func write(_ header: [UInt8]) {
        bytes += header
        while bytes.count % 4 != 0 { bytes.append(0) }
    }
}
