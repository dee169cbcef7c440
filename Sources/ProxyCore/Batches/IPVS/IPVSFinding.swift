/// What was seen in a kernel before a batch is made.
public enum IPVSFinding: Sendable {
    /// All there is.
    case everything(IPVSKernelState)
    /// The virtual servers that were asked for; nil for one that is not there.
    case servers([VirtualServer.Key: FoundVirtualServer?])
}
