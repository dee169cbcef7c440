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

    public init(_ part: Part, _ sentence: String) {
        self.part = part
        self.sentence = sentence
    }
}
