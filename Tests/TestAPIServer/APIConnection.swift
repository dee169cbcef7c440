import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization

/// Answers the requests of one connection, one after the other.
final class APIConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let state: ServerState
    private let certificates: ServerCertificates?
    private var head: HTTPRequestHead?
    private var isAnswering = false
    private var writer: BodyWriter?
    private var watch: WatchQueue?
    private var timers: [any Timer] = []

    init(_ state: ServerState, _ certificates: ServerCertificates?) {
        self.state = state
        self.certificates = certificates
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            // Nobody who waits for a watch asks twice on one connection.
            guard !isAnswering else { return context.close(promise: nil) }
            self.head = head
        case .body: break
        case .end:
            guard let head, !isAnswering else { return }
            isAnswering = true
            answer(head, context)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        writer?.pump()
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// Lets go of all that belongs to one request.
    private func finish() {
        if let watch { state.store.withLock { $0.end(watch) } }
        watch = nil
        timers.forEach { $0.stop() }
        timers = []
        writer?.abandon()
        writer = nil
        isAnswering = false
    }
}

// MARK: Answers

extension APIConnection {
    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let request = ServerRequest(head)
        let number = state.requests.withLock { log in
            log.append(
                RequestRecord(
                    method: request.method, path: request.path, query: request.query, accept: request.accept))
        }
        let resource = APIResource(path: request.path)
        let isVersion = request.path == "/version"
        let isWatch = request.isTrue("watch")
        var action: Fault.Action?
        if let name = resource?.rawValue ?? (isVersion ? "version" : nil) {
            action = state.faults.withLock { $0.take(resource: name, operation: isWatch ? .watch : .list) }
        }
        let encoding = ContentEncoding(accept: request.accept)
        let answer = Answer(context: context, number: number, encoding: encoding ?? .json, action: action)
        do throws(Refusal) {
            switch action {
            case .stall: return
            case .garbage(let count): return sendGarbage(count, context)
            case .status(let code, let body, let retryAfter):
                let refusal = Refusal.demanded(code, retryAfter: retryAfter)
                return send(refusal, body: body, answer)
            default: break
            }
            let user = try authenticate(request, number, context)
            guard resource != nil || isVersion else { throw .notFound }
            guard request.method == "GET" else { throw .methodNotAllowed }
            guard let resource else {
                return send(
                    200, contentType: ContentEncoding.json.contentType, FixedBody(state.version),
                    length: state.version.count, answer)
            }
            try authorize(user, isWatch ? "watch" : "list", resource)
            guard encoding != nil else { throw .notAcceptable }
            if isWatch {
                try startWatch(resource, request, answer)
            } else {
                let list = try state.list(resource, request, answer.encoding)
                send(200, contentType: answer.encoding.contentType, list, length: list.length, answer)
            }
        } catch {
            send(error, body: nil, answer)
        }
    }

    /// What belongs to one answer.
    private struct Answer {
        let context: ChannelHandlerContext
        /// Of the request.
        let number: Int
        let encoding: ContentEncoding
        let action: Fault.Action?
    }

    private func authenticate(
        _ request: ServerRequest, _ number: Int, _ context: ChannelHandlerContext
    ) throws(Refusal) -> String? {
        guard let credentials = state.credentials.withLock({ $0 }) else { return nil }
        let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self)
        let isOurs = handler?.peerCertificate.map { $0 == certificates?.client }
        let user = try credentials.user(authorization: request.authorization, certificate: isOurs)
        state.requests.withLock { $0.change(number) { $0.user = user } }
        return user
    }

    private func authorize(_ user: String?, _ verb: String, _ resource: APIResource) throws(Refusal) {
        guard let user, let credentials = state.credentials.withLock({ $0 }), !credentials.mayRead(user) else { return }
        throw .forbidden(user: user, verb: verb, resource: resource)
    }

    private func startWatch(
        _ resource: APIResource, _ request: ServerRequest, _ answer: Answer
    ) throws(Refusal) {
        var fault: StreamFault?
        if case .event(let wanted) = answer.action { fault = wanted }
        let asked = try request.number("timeoutSeconds") ?? 0
        let seconds = asked > 0 ? asked : state.options.watchSeconds
        let loop = answer.context.eventLoop
        let bound = NIOLoopBound(self, eventLoop: loop)
        let body = try state.watch(resource, request, answer.encoding, fault) {
            loop.execute { bound.value.writer?.pump() }
        }
        let queue = body.queue
        watch = queue
        timers.append(loop.scheduleTask(in: .seconds(Int64(min(seconds, 1_000_000)))) { queue.append([.end]) })
        if request.isTrue("allowWatchBookmarks") {
            let interval = TimeAmount.milliseconds(Int64(max(1, state.options.bookmarkMilliseconds)))
            timers.append(
                loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [state] _ in
                    state.store.withLock {
                        queue.append([.bookmark(version: $0.version, endsInitialEvents: false)])
                    }
                })
        }
        send(200, contentType: answer.encoding.watchContentType, body, length: nil, answer)
    }
}

// MARK: Sending

extension APIConnection {
    /// Where a real server counts the bytes of a body before it sends them in chunks.
    private static let countedLength = 2048

    private func send(_ refusal: Refusal, body: String?, _ answer: Answer) {
        let bytes = body.map { Array($0.utf8) } ?? answer.encoding.encode(refusal)
        let contentType = body == nil ? answer.encoding.contentType : ContentEncoding.json.contentType
        send(
            refusal.code, contentType: contentType, FixedBody(bytes), length: bytes.count, answer,
            retryAfter: refusal.retryAfter)
    }

    private func send(
        _ status: Int, contentType: String, _ body: any ResponseBody, length: Int?, _ answer: Answer,
        retryAfter: Int? = nil
    ) {
        state.requests.withLock { log in
            log.change(answer.number) { record in
                record.status = status
                record.contentType = contentType
            }
        }
        var headers: HTTPHeaders = ["Cache-Control": "no-cache, private", "Content-Type": contentType]
        if let length, length <= Self.countedLength { headers.add(name: "Content-Length", value: String(length)) }
        if let retryAfter { headers.add(name: "Retry-After", value: String(retryAfter)) }
        let context = answer.context
        let isKeptAlive = head?.isKeepAlive ?? false
        if !isKeptAlive { headers.add(name: "Connection", value: "close") }
        let response = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: headers)
        context.writeAndFlush(wrapOutboundOut(.head(response)), promise: nil)
        let writer = BodyWriter(context, shape: BodyShape(answer.action)) { [weak self] in
            context.writeAndFlush(NIOAny(HTTPServerResponsePart.end(nil)), promise: nil)
            self?.finish()
            if !isKeptAlive { context.close(promise: nil) }
        }
        self.writer = writer
        writer.start(body)
    }

    /// Bytes past the encoder, the same ones every time, none of which could begin a response.
    private func sendGarbage(_ count: Int, _ context: ChannelHandlerContext) {
        let bytes = (0..<max(0, count)).map { UInt8(truncatingIfNeeded: 0x80 | $0 &* 37) }
        guard let encoder = try? context.pipeline.syncOperations.context(handlerType: HTTPResponseEncoder.self)
        else { return context.close(promise: nil) }
        encoder.writeAndFlush(NIOAny(ByteBuffer(bytes: bytes)), promise: nil)
        context.close(promise: nil)
    }
}

/// Something that happens later unless it is stopped.
private protocol Timer {
    func stop()
}

extension Scheduled: Timer {
    func stop() { cancel() }
}

extension RepeatedTask: Timer {
    func stop() { cancel() }
}
