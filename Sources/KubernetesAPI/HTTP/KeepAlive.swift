import Glibc
import NIOCore

/// How a connection whose other end is gone is found out, with no traffic on it: within half a minute.
///
/// The corresponding socket options are `SO_KEEPALIVE`, `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT` and
/// `TCP_USER_TIMEOUT` of tcp(7): a probe after 15 s of silence, two more at 5 s each, and an end after 30 s in which
/// nothing that was sent was acknowledged.
enum KeepAlive {
    private static let idleTime: SocketOptionValue = 15
    private static let interval: SocketOptionValue = 5
    private static let count: SocketOptionValue = 3
    private static let unacknowledgedTime: SocketOptionValue = 30_000

    /// Called by the client for each connection, on its event loop.
    @Sendable static func apply(_ channel: any Channel) -> EventLoopFuture<Void> {
        let options: [(ChannelOptions.Types.SocketOption, SocketOptionValue)] = [
            (.socketOption(.so_keepalive), 1),
            (.tcpOption(.init(rawValue: TCP_KEEPIDLE)), idleTime),
            (.tcpOption(.init(rawValue: TCP_KEEPINTVL)), interval),
            (.tcpOption(.init(rawValue: TCP_KEEPCNT)), count),
            (.tcpOption(.init(rawValue: TCP_USER_TIMEOUT)), unacknowledgedTime),
        ]
        for (option, value) in options {
            // Refused only where the connection is closed already, which the client finds by itself.
            try? channel.syncOptions?.setOption(option, value: value)
        }
        return channel.eventLoop.makeSucceededVoidFuture()
    }
}
