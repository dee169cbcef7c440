import Glibc
import NIOCore
import NIOPosix
import Testing

@testable import KubernetesAPI

@Suite("Dead peers")
struct KeepAliveTests {
    @Test("are looked for by the kernel on each connection")
    func options() async throws {
        try await ScriptedServer.answering { server in
            let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connect(host: "127.0.0.1", port: server.port).get()
            try await channel.eventLoop.flatSubmit { KeepAlive.apply(channel) }.get()
            var values = [try await channel.getOption(.socketOption(.so_keepalive)).get()]
            for name in [TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT] {
                values.append(try await channel.getOption(.tcpOption(.init(rawValue: name))).get())
            }
            try await channel.close()
            #expect(values == [1, 15, 5, 3, 30_000])
        }
    }
}
