import CMnl
import Glibc
import SystemPackage

extension NetlinkSocket {
    /// Opens a socket in a network namespace that has just been made and that ends with the socket: what is done there
    /// changes nothing on the node. Needs CAP_SYS_ADMIN.
    package static func inNewNamespace(options: Options) throws(NetlinkError) -> NetlinkSocket {
        let work = Work(options: options)
        var thread = pthread_t()
        // A namespace belongs to a thread, and this one ends at once; the socket stays in it.
        let code = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Work>.fromOpaque(argument).takeUnretainedValue().run() }
                return nil
            }, Unmanaged.passUnretained(work).toOpaque())
        guard code == 0 else { throw NetlinkError(operation: operation, errno: Errno(rawValue: code)) }
        pthread_join(thread, nil)
        if let error = work.error { throw error }
        guard let socket = work.socket.take() else { throw NetlinkError(operation: operation, errno: .badMessage) }
        return socket
    }

    private static let operation = "make a network namespace"

    /// What the thread does, and what comes of it; read when the thread is over.
    private final class Work {
        let options: Options
        var socket: NetlinkSocket?
        var error: NetlinkError?

        init(options: Options) {
            self.options = options
        }

        func run() {
            guard switchyard_unshare_network() == 0 else {
                error = NetlinkError(operation: NetlinkSocket.operation, errno: Errno(rawValue: errno))
                return
            }
            do throws(NetlinkError) {
                socket = try NetlinkSocket(options: options)
            } catch {
                self.error = error
            }
        }
    }
}
