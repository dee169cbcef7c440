import CMnl
import Glibc
import SystemPackage

/// Work in a network namespace that has just been made and that nobody else has.
enum NewNamespace {
    static let operation = "make a network namespace"

    /// Calls on a thread of its own, and waits until it is over. The namespace ends with the thread, or with the last
    /// socket that was opened there. Needs CAP_SYS_ADMIN.
    ///
    /// A program that the thread starts is in the namespace too.
    static func run(_ body: @escaping () -> Void) throws(NetlinkError) {
        let work = Work(body)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Work>.fromOpaque(argument).takeUnretainedValue().run() }
                return nil
            }, Unmanaged.passUnretained(work).toOpaque())
        guard code == 0 else { throw NetlinkError(operation: operation, errno: Errno(rawValue: code)) }
        pthread_join(thread, nil)
        if let errno = work.errno { throw NetlinkError(operation: operation, errno: errno) }
    }

    /// What the thread does; read when the thread is over.
    private final class Work {
        let body: () -> Void
        var errno: Errno?

        init(_ body: @escaping () -> Void) {
            self.body = body
        }

        func run() {
            guard switchyard_unshare_network() == 0 else {
                errno = Errno(rawValue: Glibc.errno)
                return
            }
            body()
        }
    }
}
