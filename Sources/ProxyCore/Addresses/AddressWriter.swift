/// Writes addresses and numbers as text into memory that the caller reserved.
///
/// The longest text is that of an IPv6 endpoint, 47 bytes; the caller reserves that much.
package struct AddressWriter {
    private let buffer: UnsafeMutableRawBufferPointer
    package private(set) var count = 0

    package init(_ buffer: UnsafeMutableRawBufferPointer) {
        self.buffer = buffer
    }

    @inline(__always)
    package mutating func write(byte: UInt8) {
        buffer[count] = byte
        count += 1
    }

    /// Writes an address as RFC 5952 has it.
    package mutating func write(_ address: IPAddress) {
        if address.family == .ipv4 {
            let bits = address.ipv4Bits
            write(octet: UInt8(truncatingIfNeeded: bits >> 24))
            write(byte: UInt8(ascii: "."))
            write(octet: UInt8(truncatingIfNeeded: bits >> 16))
            write(byte: UInt8(ascii: "."))
            write(octet: UInt8(truncatingIfNeeded: bits >> 8))
            write(byte: UInt8(ascii: "."))
            write(octet: UInt8(truncatingIfNeeded: bits))
        } else {
            writeIPv6(address)
        }
    }

    /// Writes `ip:port`, or `[ip]:port` for IPv6.
    package mutating func write(_ address: IPAddress, port: UInt16) {
        if address.family == .ipv4 {
            write(address)
        } else {
            write(byte: UInt8(ascii: "["))
            write(address)
            write(byte: UInt8(ascii: "]"))
        }
        write(byte: UInt8(ascii: ":"))
        write(decimal: port)
    }

    @inline(__always)
    private mutating func write(octet: UInt8) {
        if octet >= 100 {
            write(byte: 48 + octet / 100)
            write(byte: 48 + octet / 10 % 10)
        } else if octet >= 10 {
            write(byte: 48 + octet / 10)
        }
        write(byte: 48 + octet % 10)
    }

    package mutating func write(decimal value: UInt16) {
        var divisor: UInt16 =
            value >= 10_000 ? 10_000 : value >= 1_000 ? 1_000 : value >= 100 ? 100 : value >= 10 ? 10 : 1
        while divisor > 0 {
            write(byte: 48 + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
    }

    private mutating func writeIPv6(_ address: IPAddress) {
        func group(_ index: Int) -> UInt16 {
            let half = index < 4 ? address.high : address.low
            return UInt16(truncatingIfNeeded: half >> (48 - 16 * UInt64(index & 3)))
        }
        // The first longest run of at least two zero groups is written "::" (RFC 5952, section 4.2).
        var run = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, group(end) == 0 { end += 1 }
            if end - start >= 2, end - start > run.count { run = start..<end }
            start = max(end, start + 1)
        }
        var index = 0
        while index < 8 {
            if index == run.lowerBound, !run.isEmpty {
                write(byte: UInt8(ascii: ":"))
                write(byte: UInt8(ascii: ":"))
                index = run.upperBound
                continue
            }
            if index > 0, index != run.upperBound || run.isEmpty { write(byte: UInt8(ascii: ":")) }
            write(hexadecimal: group(index))
            index += 1
        }
    }

    private mutating func write(hexadecimal value: UInt16) {
        var shift = value > 0xfff ? 12 : value > 0xff ? 8 : value > 0xf ? 4 : 0
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: value >> UInt16(shift) & 0xf)
            write(byte: digit < 10 ? 48 + digit : 87 + digit)
            shift -= 4
        }
    }
}
