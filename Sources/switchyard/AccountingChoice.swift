import BatchApplier

/// Whether rules count packets in the kernel's accounting objects.
struct AccountingChoice {
    /// True and false as asked for; nil for wherever the kernel has such objects.
    let asked: Bool?
    let isDryRun: Bool

    init(_ asked: Bool?, isDryRun: Bool = false) {
        self.asked = asked
        self.isDryRun = isDryRun
    }

    /// Decides, and makes the objects that rules count in.
    func make(warn: (String) -> Void) -> Bool {
        guard asked != false else { return false }
        if isDryRun { return asked ?? Accounting.isSupported() }
        do {
            try Accounting.ensure(Accounting.objectNames)
            return true
        } catch {
            if asked == true || !error.isUnsupported { warn("packets are not counted: \(error)") }
            return false
        }
    }
}
