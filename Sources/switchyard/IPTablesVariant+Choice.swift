public import ArgumentParser
public import BatchApplier

extension IPTablesVariant: ExpressibleByArgument {}

extension IPTablesVariant {
    /// The variant that is asked for, else the node's own. To be asked once in a run: it takes a process or eight.
    static func chosen(_ asked: IPTablesVariant?) async -> IPTablesVariant {
        if let asked { return asked }
        return await detect()
    }
}
