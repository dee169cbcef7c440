import NameHash
import ProxyCore

/// Bytes of rule text: one buffer that grows and is cleared, never a string.
///
/// Only text that is safe in a rule may come in: fixed words, numbers, addresses, hashes, and names that their types
/// have checked (`ObjectName`, interface names of the configuration).
struct RuleWriter: ~Copyable {
    private var buffer: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(capacity: Int) {
        buffer = .allocate(byteCount: max(capacity, 256), alignment: 8)
    }

    deinit { buffer.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[..<count]) }

    mutating func removeAll() { count = 0 }

    /// Drops all but the first bytes.
    mutating func truncate(to length: Int) { count = min(count, length) }

    private var free: UnsafeMutableRawBufferPointer { .init(rebasing: buffer[count..<buffer.count]) }

    @inline(__always)
    private mutating func reserve(_ needed: Int) {
        if count + needed > buffer.count { grow(by: needed) }
    }

    @inline(never)
    private mutating func grow(by needed: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(buffer.count * 2, count + needed), alignment: 8)
        larger.copyMemory(from: bytes)
        buffer.deallocate()
        buffer = larger
    }

    @inline(__always)
    mutating func write(_ text: StaticString) {
        let length = text.utf8CodeUnitCount
        reserve(length)
        text.withUTF8Buffer { free.copyMemory(from: UnsafeRawBufferPointer($0)) }
        count += length
    }

    @inline(__always)
    mutating func write(_ other: UnsafeRawBufferPointer) {
        reserve(other.count)
        free.copyMemory(from: other)
        count += other.count
    }

    mutating func write(_ text: String) {
        var text = text
        text.withUTF8 { write(UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    mutating func write(byte: UInt8) {
        reserve(1)
        buffer[count] = byte
        count += 1
    }

    @inline(__always)
    mutating func write(_ hash: NameHash) {
        hash.withBytes { write($0) }
    }

    mutating func write(_ address: IPAddress) {
        writeAddress { $0.write(address) }
    }

    /// Writes `ip:port`, or `[ip]:port` for IPv6.
    mutating func write(_ address: IPAddress, port: UInt16) {
        writeAddress { $0.write(address, port: port) }
    }

    mutating func write(decimal value: UInt16) {
        writeAddress { $0.write(decimal: value) }
    }

    mutating func write(_ cidr: CIDR) {
        write(cidr.base)
        write(byte: UInt8(ascii: "/"))
        write(decimal: UInt16(cidr.prefixLength))
    }

    /// Writes a mark as `0x%08x`.
    mutating func write(mark: UInt32) {
        write("0x")
        for shift in stride(from: UInt32(28), through: 0, by: -4) {
            let digit = UInt8(mark >> shift & 15)
            write(byte: digit < 10 ? 48 + digit : 87 + digit)
        }
    }

    /// Writes the chance of one in `count` with ten decimals, as C's `%.10f` prints the double nearest to it.
    ///
    /// The double's exact value is rounded, half to even, so that the digits are those of every printf.
    mutating func write(probabilityOfOneIn count: Int) {
        precondition(count > 1, "a rule without a choice has no probability")
        let value = 1 / Double(count)
        // value = significand × 2^-scale; scaled by 10^10 it stays below 2^87.
        let scale = 52 - Int(value.exponent)
        let scaled = UInt128(1 << 52 | value.significandBitPattern) * 10_000_000_000
        var digits = scaled >> UInt128(scale)
        let rest = scaled - digits << UInt128(scale)
        let half = UInt128(1) << UInt128(scale - 1)
        if rest > half || rest == half && digits & 1 == 1 { digits += 1 }
        write("0.")
        var divisor: UInt64 = 1_000_000_000
        let number = UInt64(digits)
        while divisor > 0 {
            write(byte: 48 + UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
    }

    @inline(__always)
    private mutating func writeAddress(_ body: (inout AddressWriter) -> Void) {
        reserve(48)
        var writer = AddressWriter(free)
        body(&writer)
        count += writer.count
    }
}
