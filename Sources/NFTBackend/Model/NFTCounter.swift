/// A counter with a name, and what it has counted.
public struct NFTCounter: Hashable, Sendable {
    public var name: String
    public var packets: UInt64
    public var bytes: UInt64

    public init(name: String, packets: UInt64 = 0, bytes: UInt64 = 0) {
        self.name = name
        self.packets = packets
        self.bytes = bytes
    }
}
