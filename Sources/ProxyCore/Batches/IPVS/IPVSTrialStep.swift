/// Something of ipvs mode that a kernel can be tried with, and what it answered.
public enum IPVSTrialStep: Hashable, Sendable {
    /// Virtual servers of the family, whatever their scheduler.
    case servers
    /// A virtual server with a scheduler.
    case server(IPVSScheduler)
    /// A setting that is there, by its path under /proc/sys.
    case setting(String)
    case set(IPSet.Kind)
    /// The device of the service addresses.
    case device
    /// A rule of table filter or nat, from behind its chain's name on; empty for the table itself. Rules that look
    /// something up find the set `IPVSTrialStep.setName`, if sets of addresses are among the steps before.
    case rule(IPTablesBatch.TableName, String)

    /// The set of addresses that rules are tried with.
    public static let setName = "switchyard-check"

    public enum Answer: Hashable, Sendable {
        case taken
        case refused
        /// It could not be tried: why.
        case unknown(String)
    }
}
