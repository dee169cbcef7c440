public import Logging
public import ProxyCore

extension Logger {
    /// Logs what there is to say of an input.
    public func log(_ diagnostic: Diagnostic) {
        let level: Logger.Level =
            switch diagnostic.severity {
            case .note: .info
            case .warning: .warning
            case .error: .error
            }
        log(
            level: level, "\(diagnostic.message)",
            metadata: diagnostic.location.isEmpty ? nil : ["at": "\(diagnostic.location)"])
    }
}
