import Glibc

enum Transport: String {
    case tcp
    case udp

    var socketType: Int32 { Int32(self == .tcp ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) }
}

/// What became of an operation on a socket, in the words that `ask` prints.
enum Failure: Error {
    case refused
    case timeout
    case unreachable
    case other(Int32)

    init(errno code: Int32) {
        self =
            switch code {
            case ECONNREFUSED: .refused
            case ETIMEDOUT, EAGAIN: .timeout
            case EHOSTUNREACH, ENETUNREACH: .unreachable
            default: .other(code)
            }
    }

    var text: String {
        switch self {
        case .refused: "refused"
        case .timeout: "timeout"
        case .unreachable: "unreachable"
        case .other(let code): "error: " + String(cString: strerror(code))
        }
    }
}

/// Owns a socket.
struct Socket: ~Copyable {
    let descriptor: Int32

    init(_ transport: Transport, family: Int32) throws(Failure) {
        descriptor = socket(family, transport.socketType | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(errno: errno) }
    }

    /// Takes over a descriptor that `accept` returned.
    init(accepted descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    func set(_ level: Int32, _ option: Int32, to value: Int32) {
        var value = value
        setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Lets a connection end by a reset: neither side keeps anything of it.
    func resetsAtClose() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    func bind(to address: SocketAddress) throws(Failure) {
        let status = address.withPointer { Glibc.bind(descriptor, $0, $1) }
        guard status == 0 else { throw Failure(errno: errno) }
    }

    /// Connects before the deadline; the socket does not block afterwards.
    func connect(to address: SocketAddress, before deadline: Deadline) throws(Failure) {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        let status = address.withPointer { Glibc.connect(descriptor, $0, $1) }
        if status == 0 { return }
        guard errno == EINPROGRESS else { throw Failure(errno: errno) }
        try wait(for: POLLOUT, before: deadline)
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
        guard code == 0 else { throw Failure(errno: code) }
    }

    /// Waits until poll reports one of the events, or an error that the next call will name.
    func wait(for events: Int32, before deadline: Deadline) throws(Failure) {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        let count = poll(&entry, 1, deadline.remainingMilliseconds)
        guard count >= 0 else { throw Failure(errno: errno) }
        guard count > 0 else { throw .timeout }
    }

    func send(_ text: String) throws(Failure) {
        let bytes = Array(text.utf8)
        let count = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        guard count == bytes.count else { throw Failure(errno: errno) }
    }

    /// Reads once; empty at the end of the stream.
    func receive() throws(Failure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count >= 0 else { throw Failure(errno: errno) }
        return Array(buffer.prefix(count))
    }
}

/// Milliseconds of the monotonic clock.
func milliseconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) * 1000 + Double(now.tv_nsec) / 1_000_000
}

struct Deadline {
    private let end: Double

    init(after timeout: Int) {
        end = milliseconds() + Double(timeout)
    }

    var remainingMilliseconds: Int32 { Int32(max(0, (end - milliseconds()).rounded(.up))) }
}
