import SystemPackage

extension NetlinkSocket {
    /// Opens a socket in a network namespace that has just been made and that ends with the socket: what is done there
    /// changes nothing on the node. Needs CAP_SYS_ADMIN.
    package static func inNewNamespace(options: Options) throws(NetlinkError) -> NetlinkSocket {
        let opening = Opening(options: options)
        // The thread ends at once; the socket stays in its namespace.
        try NewNamespace.run { opening.open() }
        if let error = opening.error { throw error }
        guard let socket = opening.socket.take() else {
            throw NetlinkError(operation: NewNamespace.operation, errno: .badMessage)
        }
        return socket
    }

    /// What comes of it on the thread.
    private final class Opening {
        let options: Options
        var socket: NetlinkSocket?
        var error: NetlinkError?

        init(options: Options) {
            self.options = options
        }

        func open() {
            do throws(NetlinkError) {
                socket = try NetlinkSocket(options: options)
            } catch {
                self.error = error
            }
        }
    }
}
