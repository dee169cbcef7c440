/// What one sync commits to a family's table of nf_tables: requests that the kernel carries out together or not at all.
///
/// A renderer makes it, the applier commits it, and neither knows the other.
public struct NFTablesBatch: Hashable, Sendable {
    public var family: IPFamily
    public var table: String
    /// Netlink messages one after the other, each aligned to four bytes, without those that begin and end a
    /// transaction; their sequence numbers are zero.
    public var bytes: [UInt8]
    /// Where each message begins in `bytes`.
    public var offsets: [Int]
    /// What could not be written as a message, so that the batch says less than was meant and must not be committed;
    /// nil if it is whole.
    public var fault: String?

    public init(family: IPFamily, table: String, bytes: [UInt8] = [], offsets: [Int] = []) {
        self.family = family
        self.table = table
        self.bytes = bytes
        self.offsets = offsets
    }

    public var isEmpty: Bool { offsets.isEmpty }
}
