import CNftnl
import ProxyCore

extension RuleCompiler {
    mutating func compileMatch(_ statement: NFTStatement) {
        let register = Register.at(word: 0)
        switch statement {
        case .matchAddress(let field, let range, let isNot): match(field, range, isNot)
        case .matchAddresses(let field, let cidrs, let addresses, let isNot):
            let ranges = cidrs + addresses.map { CIDR($0) }
            if ranges.count == 1 { return match(field, ranges[0], isNot) }
            load([field])
            lookUp(
                addSet(.addresses(ranges, isRanges: !cidrs.isEmpty, of: field, family, name: nameOfSet())), isNot: isNot
            )
        case .matchSet(let fields, let set):
            load(fields)
            lookUp(set)
        case .matchProtocol(let transport): matchProtocol(transport)
        case .matchInterface(let name, let isNot):
            // A name that is only the star lets all pass, and a comparison of no bytes is not taken.
            guard name != "*" else { return }
            load([.inputInterface])
            compare(Self.interfaceBytes(name), isNot)
        case .matchLocal(let field):
            load([field])
            compare(KernelValue.host(KernelNumber.local), false)
        case .matchNewConnection:
            load([.connectionState])
            matchBits(KernelNumber.newConnection)
        case .matchTranslated:
            load([.connectionStatus])
            matchBits(KernelNumber.destinationTranslated)
        case .matchMark(let bits):
            emit(.meta(NFT_META_MARK.rawValue, register: register))
            matchBits(bits)
        default: break
        }
    }

    /// A whole name is compared with the zero bytes behind it, one that ends in a star only as far as it goes.
    private static func interfaceBytes(_ name: String) -> [UInt8] {
        var bytes = Array(name.utf8.prefix(NFTField.interfaceNameLength))
        if bytes.last == UInt8(ascii: "*") {
            bytes.removeLast()
        } else {
            bytes += [UInt8](repeating: 0, count: NFTField.interfaceNameLength - bytes.count)
        }
        return bytes
    }

    private mutating func compare(_ bytes: [UInt8], _ isNot: Bool) {
        let operation = isNot ? NFT_CMP_NEQ : NFT_CMP_EQ
        emit(.compare(operation: operation.rawValue, bytes, register: Register.at(word: 0)))
    }

    private mutating func mask(_ bytes: [UInt8]) {
        let register = Register.at(word: 0)
        let zero = [UInt8](repeating: 0, count: bytes.count)
        emit(.bitwise(source: register, destination: register, mask: bytes, xor: zero))
    }

    /// Passes where one of the bits is set.
    private mutating func matchBits(_ bits: UInt32) {
        mask(KernelValue.host(bits))
        compare(KernelValue.host(0), true)
    }

    /// A prefix of whole bytes is compared as those bytes, and no more of the packet is loaded; others are masked.
    private mutating func match(_ field: NFTField, _ range: CIDR, _ isNot: Bool) {
        let base = KernelValue.address(range.base, family)
        let length = range.prefixLength
        guard length > 0, length % 8 == 0 else {
            load([field])
            mask(range.mask(family))
            return compare(base, isNot)
        }
        if var payload = field.payload(family) {
            payload.length = UInt32(length / 8)
            emit(.payload(payload, register: Register.at(word: 0)))
        } else {
            load([field])
        }
        compare(Array(base.prefix(length / 8)), isNot)
    }
}

extension CIDR {
    /// The bits that are fixed, in network byte order.
    fileprivate func mask(_ family: IPFamily) -> [UInt8] {
        (0..<family.bitWidth / 8).map { byte in
            let bits = min(max(prefixLength - byte * 8, 0), 8)
            return UInt8(truncatingIfNeeded: 0xff00 >> bits)
        }
    }
}
