/// A part of a batch of ipvs mode that the kernel refused, where the rest was done.
public struct IPVSRefusal: Hashable, Sendable {
    public enum Part: Hashable, Sendable {
        /// It could not be created: what would be in it, and the rules that name it, were left out.
        case set(IPSet)
        /// It was to be added or deleted.
        case entry(IPSetEntry, IPSet)
        case server(VirtualServer.Key)
        /// It was to be put on the device, or to be taken from it.
        case address(IPAddress)
    }

    public var part: Part
    /// What could not be done, and why.
    public var sentence: String
    /// What this kernel or this process lacks, where that is why.
    public var lack: String?

    public init(_ part: Part, _ sentence: String, lack: String? = nil) {
        self.part = part
        self.sentence = sentence
        self.lack = lack
    }
}

extension [IPVSRefusal] {
    /// A sentence for each, but one for all that fail as the kernel lacks the same thing: it tells of the first.
    public var sentences: [String] {
        var sentences: [String] = []
        var others: [String: (place: Int, count: Int)] = [:]
        for refusal in self {
            if let lack = refusal.lack, let known = others[lack] {
                others[lack] = (known.place, known.count + 1)
                continue
            }
            if let lack = refusal.lack { others[lack] = (sentences.count, 0) }
            sentences.append(refusal.sentence)
        }
        for (place, count) in others.values where count > 0 {
            sentences[place] += "; so it is with \(count) more"
        }
        return sentences
    }
}
