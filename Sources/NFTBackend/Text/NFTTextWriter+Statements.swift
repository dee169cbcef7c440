import ProxyCore

/// Rules: statements and the fields in them.
extension NFTTextWriter {
    mutating func write(_ statement: NFTStatement, family: IPFamily) {
        switch statement {
        case .matchAddress, .matchAddresses, .matchSet, .matchProtocol, .matchInterface, .matchLocal,
            .matchNewConnection, .matchTranslated, .matchMark:
            writeMatch(statement, family)
        case .setMark, .invertMark, .setAddress, .update, .delete, .count:
            writeStep(statement, family)
        case .verdictMap, .verdictOfRandom, .verdict, .reject, .masquerade, .translate, .translateByMap,
            .translateByRandom:
            writeEnd(statement, family)
        }
    }

    private mutating func writeMatch(_ statement: NFTStatement, _ family: IPFamily) {
        switch statement {
        case .matchAddress(let field, let cidr, let isNot):
            write(field, family: family)
            write(isNot ? " != " : " ")
            // kube-proxy writes the one address of loopback as such, and a range of one pod as a range.
            if cidr == .loopback(.ipv6) { write(cidr.base) } else { write(cidr) }
        case .matchAddresses(let field, let cidrs, let addresses, let isNot):
            write(field, family: family)
            write(isNot ? " != { " : " { ")
            // kube-proxy separates source ranges, which are excluded, with blanks, and ranges of cluster IPs without.
            let separator: StaticString = isNot ? " , " : ","
            writeList(cidrs, separator: separator) { $0.write($1) }
            if !cidrs.isEmpty, !addresses.isEmpty { write(separator) }
            writeList(addresses, separator: separator) { $0.write($1) }
            write(" }")
        case .matchSet(let fields, let set):
            write(fields, family: family)
            write(" @")
            write(set)
        case .matchProtocol(let transport):
            write("meta l4proto ")
            write(transport.lowercaseName)
        case .matchInterface(let name, let isNot):
            write(isNot ? "iifname != " : "iifname ")
            write(interface: name)
        case .matchLocal(let field):
            write(field, family: family)
            write(" local")
        case .matchNewConnection: write("ct state new")
        case .matchTranslated: write("ct status dnat")
        case .matchMark(let bits):
            write("mark and ")
            write(mark: bits)
            write(" != 0")
        default: break
        }
    }

    private mutating func writeStep(_ statement: NFTStatement, _ family: IPFamily) {
        switch statement {
        case .setMark(let bits):
            write("mark set mark or ")
            write(mark: bits)
        case .invertMark(let bits):
            write("mark set mark xor ")
            write(mark: bits)
        case .setAddress(let field, let source):
            write(field, family: family)
            write(" set ")
            switch source {
            case .constant(let address): write(address)
            case .field(let other): write(other, family: family)
            case .map(let key, let map): writeLookup(key, " map @", map, family)
            }
        case .update(let set, let key, let datum, let seconds):
            write("update @")
            writeEntry(of: set, key, datum, seconds: seconds, family)
        case .delete(let set, let key, let datum):
            write("delete @")
            writeEntry(of: set, key, datum, seconds: nil, family)
        case .count(let key, let map):
            write("counter name ")
            writeLookup(key, " map @", map, family)
        default: break
        }
    }

    private mutating func writeEnd(_ statement: NFTStatement, _ family: IPFamily) {
        switch statement {
        case .verdictMap(let key, let map): writeLookup(key, " vmap @", map, family)
        case .verdictOfRandom(let verdicts):
            write(.random(modulus: UInt32(clamping: verdicts.count)), family: family)
            write(" vmap { ")
            writeNumbered(verdicts) { $0.write($1) }
            write(" }")
        case .verdict(let verdict): write(verdict)
        case .reject: write("reject")
        case .masquerade(let fullyRandom): write(fullyRandom ? "masquerade fully-random" : "masquerade")
        case .translate(let address, let port):
            write("dnat to ")
            write(address, port: port)
        case .translateByMap(let key, let map):
            writeTranslation(family)
            writeLookup(key, " map @", map, family)
        case .translateByRandom(let endpoints):
            writeTranslation(family)
            write(.random(modulus: UInt32(clamping: endpoints.count)), family: family)
            write(" map { ")
            writeNumbered(endpoints) {
                $0.write($1.address)
                $0.write(" . ")
                $0.write(decimal: Int($1.port))
            }
            write(" }")
        default: break
        }
    }

    private mutating func writeTranslation(_ family: IPFamily) {
        write("dnat ")
        write(family.nftName)
        write(" addr . port to ")
    }

    private mutating func writeLookup(
        _ key: [NFTField], _ operation: StaticString, _ set: String, _ family: IPFamily
    ) {
        write(key, family: family)
        write(operation)
        write(set)
    }

    private mutating func writeEntry(
        of set: String, _ key: [NFTField], _ datum: NFTField?, seconds: Int?, _ family: IPFamily
    ) {
        write(set)
        write(" { ")
        write(key, family: family)
        if let seconds {
            write(" timeout ")
            write(decimal: seconds)
            write("s")
        }
        if let datum {
            write(" : ")
            write(datum, family: family)
        }
        write(" }")
    }

    /// Writes `0 : … , 1 : …`.
    private mutating func writeNumbered<Value>(_ values: [Value], _ body: (inout Self, Value) -> Void) {
        writeList(values.enumerated(), separator: " , ") {
            $0.write(decimal: $1.offset)
            $0.write(" : ")
            body(&$0, $1.element)
        }
    }

    mutating func write(_ fields: [NFTField], family: IPFamily) {
        writeList(fields, separator: " . ") { $0.write($1, family: family) }
    }

    mutating func write(_ field: NFTField, family: IPFamily) {
        switch field {
        case .sourceAddress:
            write(family.nftName)
            write(" saddr")
        case .destinationAddress:
            write(family.nftName)
            write(" daddr")
        case .originalSourceAddress:
            write("ct original ")
            write(.sourceAddress, family: family)
        case .originalDestinationAddress:
            write("ct original ")
            write(.destinationAddress, family: family)
        case .transportProtocol: write("meta l4proto")
        case .destinationPort: write("th dport")
        case .destinationPortOf(let transport):
            write(transport.lowercaseName)
            write(" dport")
        case .inputInterface: write("iifname")
        case .random(let modulus, let offset):
            write("numgen random mod ")
            write(decimal: Int(modulus))
            if offset != 0 {
                write(" offset ")
                write(decimal: Int(offset))
            }
        case .sourceAddressType: write("fib saddr type")
        case .destinationAddressType: write("fib daddr type")
        case .connectionState: write("ct state")
        case .connectionStatus: write("ct status")
        }
    }

    mutating func write(_ verdict: NFTVerdict) {
        switch verdict {
        case .accept: write("accept")
        case .drop: write("drop")
        case .return: write("return")
        case .jump(let chain):
            write("jump ")
            write(chain)
        case .goto(let chain):
            write("goto ")
            write(chain)
        }
    }
}
