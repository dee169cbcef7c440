import CNftnl
public import ProxyCore

extension NFTablesBatch {
    /// The features that a kernel may be without if it has refused a message as something that it does not know; none
    /// where it can only be an object that is missing, such as a chain.
    ///
    /// - Parameters:
    ///   - index: the message's number.
    ///   - offset: a byte of the message, counted from its header; of several expressions it tells which is meant.
    public func features(ofMessage index: Int, at offset: Int?) -> [NFTFeature] {
        guard offsets.indices.contains(index) else { return [] }
        let end = index + 1 < offsets.count ? offsets[index + 1] : bytes.count
        guard offsets[index] + Self.headers <= end, end <= bytes.count else { return [] }
        let message = Array(bytes[offsets[index]..<end])
        let whole = Self.headers..<message.count
        switch nf_tables_msg_types(UInt32(message[4])) {
        case NFT_MSG_NEWTABLE: return [.tables]
        case NFT_MSG_NEWOBJ: return [.counters]
        case NFT_MSG_NEWCHAIN:
            guard let type = Self.attribute(Int(NFTA_CHAIN_TYPE.rawValue), in: message, whole) else { return [] }
            return [Self.text(message[type]) == NFTChain.Hook.Kind.nat.rawValue ? .natChains : .tables]
        case NFT_MSG_NEWRULE:
            guard let list = Self.attribute(Int(NFTA_RULE_EXPRESSIONS.rawValue), in: message, whole) else { return [] }
            return Self.features(ofExpressions: list, in: message, offset)
        default: return []
        }
    }

    /// The one in whose bytes the offset lies; without an offset, all.
    private static func features(ofExpressions list: Range<Int>, in message: [UInt8], _ offset: Int?) -> [NFTFeature] {
        var features: [NFTFeature] = []
        for place in attributes(of: message, from: list.lowerBound, to: list.upperBound) {
            guard offset.map(place.contains) ?? true,
                let name = attribute(
                    Int(NFTA_EXPR_NAME.rawValue), in: message, place.lowerBound + 4..<place.upperBound),
                let feature = NFTFeature.ofExpression(text(message[name])), !features.contains(feature)
            else { continue }
            features.append(feature)
        }
        return features
    }

    /// Those of netlink and nfnetlink.
    private static let headers = 20

    /// The payload of the first attribute of a type.
    private static func attribute(_ wanted: Int, in message: [UInt8], _ range: Range<Int>) -> Range<Int>? {
        attributes(of: message, from: range.lowerBound, to: range.upperBound)
            .first { type(of: $0, in: message) == wanted }.map { $0.lowerBound + 4..<$0.upperBound }
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
