import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// How a body is cut and where it breaks off.
struct BodyShape {
    enum Break { case stall, reset }

    /// At most so many bytes are sent at once.
    var pieceSize = Int.max
    var pause = TimeAmount.zero
    /// After so many bytes the body breaks.
    var limit: (bytes: Int, then: Break)?

    static let plain = BodyShape()

    init() {}

    init(_ action: Fault.Action?) {
        switch action {
        case .stallBody(let bytes): limit = (max(0, bytes), .stall)
        case .reset(let bytes): limit = (max(0, bytes), .reset)
        case .pieces(let bytes, let milliseconds):
            pieceSize = max(1, bytes)
            pause = .milliseconds(Int64(max(0, milliseconds)))
        case .rate(let bytes):
            // Twenty pieces a second.
            pieceSize = max(1, bytes / 20)
            pause = .milliseconds(Int64(1000 * pieceSize / max(1, bytes)))
        default: break
        }
    }
}

/// Sends one body as fast as the connection takes it. Belongs to the event loop of its connection.
final class BodyWriter {
    private let context: ChannelHandlerContext
    private let shape: BodyShape
    private var body: (any ResponseBody)?
    /// What has been made and not been sent.
    private var pending = ByteBuffer()
    private var sent = 0
    private var isPausing = false
    /// Called once, at the body's end in good order.
    private let completed: () -> Void

    init(_ context: ChannelHandlerContext, shape: BodyShape, completed: @escaping () -> Void) {
        self.context = context
        self.shape = shape
        self.completed = completed
    }

    func start(_ body: any ResponseBody) {
        self.body = body
        pump()
    }

    /// Ends the writer without a word: the connection is gone.
    func abandon() {
        body = nil
    }

    /// Sends what can be sent now. Called again when there is more, or the connection takes more.
    func pump() {
        var isWritten = false
        defer { if isWritten { context.flush() } }
        while body != nil, !isPausing, context.channel.isWritable {
            if let limit = shape.limit, sent >= limit.bytes {
                breakOff(limit.then)
                return
            }
            guard pending.readableBytes > 0 || refill() else { return }
            let room = shape.limit.map { $0.bytes - sent } ?? Int.max
            let count = min(pending.readableBytes, shape.pieceSize, room)
            guard let piece = pending.readSlice(length: count) else { return }
            sent += count
            context.write(NIOAny(HTTPServerResponsePart.body(.byteBuffer(piece))), promise: nil)
            isWritten = true
            if shape.pause > .zero { pause() }
        }
    }

    /// Takes the next part; false if there are no bytes now.
    private func refill() -> Bool {
        switch body?.next() {
        case .bytes(let bytes):
            pending = ByteBuffer(bytes: bytes)
            return pending.readableBytes > 0 || refill()
        case .end:
            body = nil
            completed()
            return false
        case .reset:
            breakOff(.reset)
            return false
        case .stall:
            breakOff(.stall)
            return false
        case .wait, nil: return false
        }
    }

    private func pause() {
        isPausing = true
        context.eventLoop.assumeIsolated().scheduleTask(in: shape.pause) { [self] in
            isPausing = false
            pump()
        }
    }

    private func breakOff(_ how: BodyShape.Break) {
        body = nil
        guard how == .reset else { return }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [context] _ in Self.reset(context) }
        context.writeAndFlush(
            NIOAny(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer()))), promise: promise)
    }

    /// Closes the socket so that the kernel sends RST.
    static func reset(_ context: ChannelHandlerContext) {
        guard let socket = context.channel as? any SocketOptionProvider else { return }
        socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).assumeIsolated().whenComplete { _ in
            // Behind the TLS handler's back, which would say farewell first.
            let below = try? context.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self)
            (below ?? context).close(mode: .all, promise: nil)
        }
    }
}
