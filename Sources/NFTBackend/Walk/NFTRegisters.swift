/// The registers of a rule: one file of bytes, which NFT_REG_1 to 4 divide into parts of 16 and NFT_REG32_00 to 15 into
/// parts of 4.
struct NFTRegisters {
    static let size = 64
    private var bytes = [UInt8](repeating: 0, count: size)

    /// Where a register begins; nil for the verdict register and for numbers that name none.
    static func offset(_ register: UInt32) -> Int? {
        switch register {
        case 1...4: Int(register - 1) * 16
        case 8...23: Int(register - 8) * 4
        default: nil
        }
    }

    /// Nil if the registers end before.
    func read(_ register: UInt32, _ length: Int) -> [UInt8]? {
        guard let start = Self.offset(register), length >= 0, length <= Self.size - start else { return nil }
        return Array(bytes[start..<start + length])
    }

    /// Writes whole parts of 4 bytes, the last filled up with zeros, as the kernel does. False if the registers end
    /// before.
    mutating func write(_ value: [UInt8], _ register: UInt32) -> Bool {
        let length = (value.count + 3) / 4 * 4
        guard let start = Self.offset(register), length <= Self.size - start else { return false }
        for index in 0..<length { bytes[start + index] = index < value.count ? value[index] : 0 }
        return true
    }
}
