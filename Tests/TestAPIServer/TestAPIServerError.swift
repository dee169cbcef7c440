import Glibc

/// Why the server could not be started or told something, as a sentence without a full stop.
package struct TestAPIServerError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }

    /// A failed call of the system.
    init(_ operation: String, code: Int32) {
        description = "\(operation): \(String(cString: strerror(code)))"
    }
}
