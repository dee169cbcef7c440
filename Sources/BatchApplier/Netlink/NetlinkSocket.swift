import CMnl
import Glibc
import SystemPackage

/// Owns a netlink socket in the network namespace of the thread that opened it.
///
/// Calls block, for at most `Options.timeout` per datagram; an actor with a `BlockingExecutor` makes them without
/// holding up other tasks.
package struct NetlinkSocket: ~Copyable, Sendable {
    package struct Options: Hashable, Sendable {
        /// The receive buffer, in bytes, beyond the limit of net.core.rmem_max where CAP_NET_ADMIN allows it. Each
        /// failure in a batch takes close to 1 KB of it; a dump needs none.
        package var receiveBuffer: Int?
        /// The send buffer, likewise. The kernel's own takes about 200 KB.
        package var sendBuffer: Int?
        /// How long one datagram is waited for.
        package var timeout: Duration

        package init(receiveBuffer: Int? = nil, sendBuffer: Int? = nil, timeout: Duration = .seconds(5)) {
            self.receiveBuffer = receiveBuffer
            self.sendBuffer = sendBuffer
            self.timeout = timeout
        }
    }

    private let handle: NetlinkHandle
    private var sequence: NetlinkSequence
    private var buffer: [UInt8]

    /// - Parameters:
    ///   - bus: such as `NETLINK_NETFILTER`.
    ///   - sequence: where the numbers of requests begin, so that tests know the bytes.
    package init(
        _ bus: Int32 = NETLINK_NETFILTER, options: Options = Options(), sequence: NetlinkSequence = NetlinkSequence()
    ) throws(NetlinkError) {
        let handle = try NetlinkHandle(bus)
        try handle.configure(options)
        self.handle = handle
        self.sequence = sequence
        // A dump is sent in pieces as large as the buffer that the last one was read into, up to 32 KiB; one message
        // may be larger.
        buffer = [UInt8](repeating: 0, count: 1 << 16)
    }

    /// By which the kernel knows this socket among those of its namespace.
    package var portID: UInt32 { handle.portID }

    /// Asks for everything of a kind and hands out message by message.
    ///
    /// The dump is always read to its end. If it fails there, the messages handed out are not all.
    ///
    /// - Parameters:
    ///   - request: a batch of one request.
    ///   - operation: what an error says was tried.
    ///   - isCancelled: asked before each datagram; true gives the dump up with `canceled`. The socket is of no use
    ///     then, as the kernel still has the rest for it.
    package mutating func dump(
        _ request: NetlinkBatch, operation: @autoclosure () -> String, isCancelled: () -> Bool = { false },
        _ each: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        precondition(request.count == 1, "a dump is one request")
        var request = request
        request.add(flags: NLM_F_DUMP, to: 0)
        let replies = try exchange(request, .dump, operation, isCancelled: isCancelled, each)
        if let failure = replies.failures.first { throw NetlinkError(operation: operation(), failure) }
        if replies.wasInterrupted { throw NetlinkError(operation: operation(), errno: .interrupted) }
    }

    /// Asks for one object and returns the message that the kernel answers with.
    package mutating func ask(
        _ request: NetlinkBatch, operation: @autoclosure () -> String
    ) throws(NetlinkError) -> NetlinkMessage {
        precondition(request.count == 1, "one message answers one request")
        var answer: NetlinkMessage?
        let replies = try exchange(request, .message, operation) { answer = $0 }
        if let failure = replies.failures.first { throw NetlinkError(operation: operation(), failure) }
        guard let answer else { throw NetlinkError(operation: operation(), errno: .badMessage) }
        return answer
    }

    /// Sends all requests in one datagram and returns those that failed, each with its index.
    ///
    /// The kernel goes on after a request that fails, and answers such requests and the last one: those not named
    /// have succeeded. An error thrown means that this is not known.
    package mutating func perform(
        _ batch: NetlinkBatch, operation: @autoclosure () -> String
    ) throws(NetlinkError) -> [NetlinkError] {
        guard batch.count > 0 else { return [] }
        var batch = batch
        batch.add(flags: NLM_F_ACK, to: batch.count - 1)
        let replies = try exchange(batch, .acknowledgement, operation) { _ in }
        return replies.failures.map { NetlinkError(operation: operation(), $0) }
    }

    /// Sends a transaction of nf_tables, from the message that begins it to the one that ends it, and returns the
    /// requests that were refused. If there is one, nothing was changed.
    ///
    /// An error thrown means that it is not known whether it was committed.
    package mutating func commit(
        _ batch: consuming NetlinkBatch, operation: @autoclosure () -> String
    ) throws(NetlinkError) -> [NetlinkError] {
        precondition(batch.count > 2, "a transaction changes something")
        // Acknowledgements of the last message itself are not known to older kernels.
        batch.add(flags: NLM_F_ACK, to: batch.count - 2)
        let replies = try exchange(batch, .transaction, operation) { _ in }
        return replies.failures.map { NetlinkError(operation: operation(), $0) }
    }

    private mutating func exchange(
        _ batch: consuming NetlinkBatch, _ ending: NetlinkReplies.Ending, _ operation: () -> String,
        isCancelled: () -> Bool = { false }, _ each: (NetlinkMessage) -> Void
    ) throws(NetlinkError) -> NetlinkReplies {
        let first = sequence.take(batch.count)
        batch.number(from: first)
        guard !batch.isTooLong else { throw NetlinkError(operation: operation(), errno: .messageTooLong) }
        do throws(Errno) {
            try handle.send(batch.bytes)
            var replies = NetlinkReplies(ending, firstSequence: first, requestCount: batch.count)
            var loss: Errno?
            while !replies.isOver {
                guard !isCancelled() else { throw Errno.canceled }
                do throws(Errno) {
                    // After a loss what is waited for may never come, and everything else is there already.
                    let count = try handle.receive(into: &buffer, waits: loss == nil)
                    replies.received(buffer[..<count], each)
                } catch  where loss == nil && error == .noBufferSpace {
                    loss = error
                } catch {
                    throw loss ?? error
                }
            }
            if let loss { throw loss }
            return replies
        } catch {
            throw NetlinkError(operation: operation(), errno: error)
        }
    }
}

extension NetlinkSocket {
    /// Calls with the socket kept, which is opened first where there is none. One that failed is not used again: what
    /// it was asked for may still come.
    static func use<Value>(
        _ kept: inout NetlinkSocket?, _ bus: Int32, _ options: Options,
        _ body: (inout NetlinkSocket) throws(NetlinkError) -> Value
    ) throws(NetlinkError) -> Value {
        var socket = if let open = kept.take() { open } else { try NetlinkSocket(bus, options: options) }
        let value = try body(&socket)
        kept = consume socket
        return value
    }

    /// Subscribes to a group of notifications, such as `NFNLGRP_NFTABLES`.
    package borrowing func join(group: Int32, operation: @autoclosure () -> String) throws(NetlinkError) {
        do throws(Errno) {
            try handle.set(NETLINK_ADD_MEMBERSHIP, to: group)
        } catch {
            throw NetlinkError(operation: operation(), errno: error)
        }
    }

    /// Hands out the messages of the next datagram. Throws `timedOut` if none comes within the socket's timeout, and
    /// `noBufferSpace` if some were lost since the last call; those after them can still be read.
    package mutating func listen(
        operation: @autoclosure () -> String, _ each: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        do throws(Errno) {
            let count = try handle.receive(into: &buffer, waits: true)
            var rest = buffer[..<count]
            while let message = NetlinkMessage(takenFrom: &rest) { each(message) }
        } catch {
            throw NetlinkError(operation: operation(), errno: error)
        }
    }
}

/// Numbers for requests, by which the answers are told apart.
package struct NetlinkSequence: Hashable, Sendable {
    private var next: UInt32

    package init(startingAt first: UInt32 = 1) {
        next = first
    }

    mutating func take(_ count: Int) -> UInt32 {
        defer { next &+= UInt32(truncatingIfNeeded: count) }
        return next
    }
}

extension NetlinkError {
    fileprivate init(operation: String, _ failure: NetlinkReplies.Failure) {
        self.init(
            operation: operation, errno: failure.errno, explanation: failure.explanation, index: failure.index,
            offset: failure.offset, echo: failure.echo)
    }
}

/// Owns libmnl's socket.
///
/// Not private: an optimized build of another module that holds a `NetlinkSocket` would crash the compiler (Swift 6.3).
struct NetlinkHandle: ~Copyable, @unchecked Sendable {
    // The pointer is never handed out, and libmnl's socket is a descriptor and an address that do not change.
    private let socket: OpaquePointer

    init(_ bus: Int32) throws(NetlinkError) {
        guard let socket = mnl_socket_open2(bus, Int32(SOCK_CLOEXEC.rawValue)) else {
            throw NetlinkError(operation: "open a netlink socket", errno: Errno(rawValue: errno))
        }
        self.socket = socket
    }

    func configure(_ options: NetlinkSocket.Options) throws(NetlinkError) {
        do throws(Errno) {
            try Self.check(Int(mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID)))
            // Both came by kernel 4.12; without them the errors say less.
            try? set(NETLINK_EXT_ACK, to: 1)
            try? set(NETLINK_CAP_ACK, to: 1)
            if let size = options.receiveBuffer { resize(SO_RCVBUFFORCE, SO_RCVBUF, to: size) }
            if let size = options.sendBuffer { resize(SO_SNDBUFFORCE, SO_SNDBUF, to: size) }
            var time = timeval(options.timeout)
            let size = socklen_t(MemoryLayout<timeval>.size)
            try Self.check(Int(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, size)))
            try Self.check(Int(setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, size)))
        } catch {
            throw NetlinkError(operation: "set a netlink socket up", errno: error)
        }
    }

    deinit { mnl_socket_close(socket) }

    private var descriptor: Int32 { mnl_socket_get_fd(socket) }
    var portID: UInt32 { mnl_socket_get_portid(socket) }

    func set(_ option: Int32, to value: Int32) throws(Errno) {
        var value = value
        let size = socklen_t(MemoryLayout<Int32>.size)
        try Self.check(Int(mnl_socket_setsockopt(socket, option, &value, size)))
    }

    /// A buffer that is smaller than wished for shows when it runs full.
    private func resize(_ forced: Int32, _ allowed: Int32, to bytes: Int) {
        var value = Int32(clamping: bytes)
        let size = socklen_t(MemoryLayout<Int32>.size)
        if setsockopt(descriptor, SOL_SOCKET, forced, &value, size) != 0 {
            setsockopt(descriptor, SOL_SOCKET, allowed, &value, size)
        }
    }

    func send(_ bytes: [UInt8]) throws(Errno) {
        try retried { mnl_socket_sendto(socket, bytes, bytes.count) }
    }

    /// Reads one datagram of the kernel. Throws `timedOut` where none came.
    func receive(into buffer: inout [UInt8], waits: Bool) throws(Errno) -> Int {
        while true {
            var sender = sockaddr_nl()
            var size = socklen_t(MemoryLayout<sockaddr_nl>.size)
            let flags = Int32(MSG_TRUNC) | (waits ? 0 : Int32(MSG_DONTWAIT))
            // With MSG_TRUNC the length of the whole datagram is returned, even where the buffer is shorter.
            let count = try retried {
                buffer.withUnsafeMutableBytes { bytes in
                    withUnsafeMutableBytes(of: &sender) { address in
                        recvfrom(
                            descriptor, bytes.baseAddress, bytes.count, flags,
                            address.baseAddress?.assumingMemoryBound(to: sockaddr.self), &size)
                    }
                }
            }
            // Another process may send to this socket too.
            guard sender.nl_pid == 0 else { continue }
            guard count <= buffer.count else { throw .messageTooLong }
            return count
        }
    }

    @discardableResult
    private func retried(_ call: () -> Int) throws(Errno) -> Int {
        while true {
            do throws(Errno) {
                return try Self.check(call())
            } catch .interrupted {
                continue
            } catch .wouldBlock {
                throw .timedOut
            }
        }
    }

    /// The one place where errno is read.
    @discardableResult @inline(never)
    private static func check(_ result: Int) throws(Errno) -> Int {
        guard result >= 0 else { throw Errno(rawValue: Glibc.errno) }
        return result
    }
}

extension timeval {
    /// At least a microsecond, as zero means for ever.
    fileprivate init(_ duration: Duration) {
        let (seconds, attoseconds) = max(duration, .microseconds(1)).components
        self.init(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    }
}
