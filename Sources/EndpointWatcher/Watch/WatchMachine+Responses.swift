import ProxyCore

extension WatchMachine {
    /// A part of the response to the last request has come.
    package mutating func received(_ part: APIResponsePart, _ now: Instant) -> [Action] {
        guard exchange != nil else { return [] }
        exchange?.lastBytesAt = now
        switch part {
        case .head(let head): return receivedHead(head, now)
        case .body(let bytes): return receivedBody(bytes, now)
        }
    }

    /// The response has ended, in so far as the connection tells.
    package mutating func ended(_ now: Instant) -> [Action] {
        guard let exchange else { return [] }
        if exchange.refusal != nil { return refused(now) }
        guard let splitter = exchange.splitter else { return fail("\(what) was not answered", now) }
        if case .page(let token) = exchange.purpose {
            guard splitter.isAtEnd else { return fail("\(what) broke off", now) }
            return endedPage(after: token, exchange.list, now)
        }
        guard exchange.followingSince != nil else { return fail("\(what) broke off", now) }
        guard splitter.isAtEnd else { return fail("\(what) broke off within an event", now) }
        return ended(inOrderAt: now)
    }

    /// There is no response, or it has broken off. The reason is a sentence without a full stop.
    package mutating func failed(_ reason: String, _ now: Instant) -> [Action] {
        guard let exchange else { return [] }
        if exchange.refusal != nil { return refused(now) }
        return fail("\(what) failed: \(reason.printable(limit: 300))", now)
    }

    private mutating func receivedHead(_ head: APIResponseHead, _ now: Instant) -> [Action] {
        guard exchange?.splitter == nil, exchange?.refusal == nil else { return [] }
        exchange?.isProtobuf = MediaType.name(of: head.contentType) == MediaType.protobuf
        guard head.status == 200 else {
            exchange?.refusal = head
            return []
        }
        guard understands(head.contentType) else {
            let type = head.contentType.isEmpty ? "no content type" : "content type \(head.contentType.printable())"
            return fail("\(what) was answered with \(type), which is not understood", now)
        }
        let isProtobuf = exchange?.isProtobuf == true
        switch exchange?.purpose {
        case .page: exchange?.splitter = isProtobuf ? ProtobufListSplitter() : JSONListSplitter()
        default: exchange?.splitter = isProtobuf ? LengthPrefixSplitter() : JSONLineSplitter()
        }
        if exchange?.isList == false { exchange?.followingSince = now }
        known.renewPool()
        return []
    }

    private mutating func receivedBody(_ bytes: [UInt8], _ now: Instant) -> [Action] {
        if exchange?.refusal != nil {
            let room = BodyLimits.refusal - (exchange?.refusalBody.count ?? 0)
            exchange?.refusalBody += bytes.prefix(max(room, 0))
            return []
        }
        var messages: [BodyMessage] = []
        var failure: FramingFailure?
        do throws(FramingFailure) {
            try exchange?.splitter?.take(bytes, into: &messages)
        } catch {
            failure = error
        }
        var batch = UpdateBatch(resource.kind, receivedAt: now)
        var error: WireStatus?
        for message in messages {
            do throws(FramingFailure) {
                error = try take(message, &batch, now)
            } catch let found {
                failure = found
                break
            }
            if error != nil { break }
        }
        var actions = batch.finish().map { Action.deliver($0) }
        if let error {
            actions += endedWith(error, now)
        } else if let failure {
            actions += fail("\(what) \(failure.sentence)", now)
        }
        return actions
    }

    /// Takes a message; returns the error that the server ends a watch with.
    private mutating func take(
        _ message: BodyMessage, _ batch: inout UpdateBatch, _ now: Instant
    ) throws(FramingFailure) -> WireStatus? {
        switch message {
        case .tooLarge(let bytes):
            leaveOut("of \(bytes) bytes is larger than \(BodyLimits.object)", &batch)
        case .listMetadata(let bytes):
            guard let list = try? decoder.listMetadata(bytes) else {
                throw FramingFailure(sentence: "has metadata that cannot be decoded")
            }
            exchange?.list = list
        case .object(let bytes):
            if case .page = exchange?.purpose {
                if let object = try? decoder.item(bytes, of: resource.kind) {
                    take(object, &batch)
                } else {
                    leaveOut("cannot be decoded", &batch)
                }
            } else if let event = try? decoder.event(bytes, of: resource.kind) {
                try expectProgress(event, &batch)
                return take(event, &batch, now)
            } else {
                leaveOut("cannot be decoded", &batch)
            }
        }
        return nil
    }

    /// Ends a watch whose versions go back, and has the objects listed: the server's state is an earlier one, such as
    /// of a backup, and what was changed on the way back is not told.
    ///
    /// Versions of one kind can be compared as numbers. Others are taken as they are.
    private mutating func expectProgress(_ event: WireEvent, _ batch: inout UpdateBatch) throws(FramingFailure) {
        guard exchange?.followingSince != nil, let found = event.version.flatMap({ UInt64($0) }),
            let before = version.flatMap({ UInt64($0) }), found < before
        else { return }
        needsList = true
        let sentence = "has gone back from version \(before) to \(found)"
        batch.add(Diagnostic(.warning, at: "", "\(what) \(sentence); all objects are listed anew"))
        throw FramingFailure(sentence: sentence)
    }

    private mutating func take(_ event: WireEvent, _ batch: inout UpdateBatch, _ now: Instant) -> WireStatus? {
        if exchange?.followingSince != nil { exchange?.hasNews = true }
        switch event {
        case .changed(let object):
            take(object, &batch)
            move(to: object.metadata?.version)
        case .deleted(let object):
            if let change = known.remove(object) { report(change, &batch) }
            move(to: object.metadata?.version)
        case .bookmark(let version, let endsInitialEvents):
            if endsInitialEvents, exchange?.followingSince == nil {
                exchange?.followingSince = now
                self.version = version
                completeList(&batch)
            } else if exchange?.followingSince != nil {
                sendsBookmarks = true
                move(to: version)
                // Nothing was missed up to here.
                if isInterrupted { reportComplete(&batch) }
            }
        case .error(let status): return status
        }
        return nil
    }

    private mutating func take(_ object: WireObject, _ batch: inout UpdateBatch) {
        var diagnostics: [Diagnostic] = []
        if let change = known.take(object, &diagnostics) { report(change, &batch) }
        for diagnostic in diagnostics { batch.add(diagnostic) }
    }

    /// Reports an object that is known only to exist.
    private mutating func leaveOut(_ reason: String, _ batch: inout UpdateBatch) {
        if exchange?.followingSince == nil { known.takeUnreadableItem() } else { needsList = true }
        let sentence = "\(what) has a \(resource.kind.rawValue) that \(reason); it is left out"
        batch.add(Diagnostic(.warning, at: "", sentence))
    }

    /// Moves the version; a streaming list has none before its end.
    private mutating func move(to version: String?) {
        guard exchange?.followingSince != nil, let version, !version.isEmpty else { return }
        self.version = version
    }

    private mutating func completeList(_ batch: inout UpdateBatch) {
        for change in known.endList() { report(change, &batch) }
        reportComplete(&batch)
    }

    private mutating func report(_ change: ObjectChange, _ batch: inout UpdateBatch) {
        batch.add(change)
        isInterrupted = false
    }

    private mutating func reportComplete(_ batch: inout UpdateBatch) {
        batch.complete()
        isInterrupted = false
    }

    private mutating func endedPage(after token: String?, _ list: WireListMetadata?, _ now: Instant) -> [Action] {
        if let next = list?.continue, !next.isEmpty {
            guard next != token else { return fail("\(what) continues with the page that it has just sent", now) }
            return [send(.page(after: next), now)]
        }
        guard let version = list?.resourceVersion, !version.isEmpty else {
            return fail("\(what) has no resourceVersion", now)
        }
        return endedList(at: version, now) { $0.send(.watch(after: version), now) }
    }

    /// Reports the end of a list that no changes follow in the same response.
    private mutating func endedList(
        at version: String?, _ now: Instant, then next: (inout WatchMachine) -> Action
    ) -> [Action] {
        var batch = UpdateBatch(resource.kind, receivedAt: now)
        completeList(&batch)
        self.version = version
        let actions = batch.finish().map { Action.deliver($0) }
        return actions + [next(&self)]
    }

    // MARK: Refusals

    /// The server has ended a watch with an error.
    private mutating func endedWith(_ status: WireStatus, _ now: Instant) -> [Action] {
        let reason = "\(what) ended with \(Self.sentence(status.code, status.message))"
        // Only a server that is too busy has not said that the version is at fault.
        if status.code != 429, status.code != 503 { version = nil }
        if status.code == 410 { return retrySoon(reason, now) }
        return fail(reason, retryAfter: status.retryAfter, now)
    }

    /// The response was no success.
    mutating func refused(_ now: Instant) -> [Action] {
        guard let exchange, let head = exchange.refusal else { return [] }
        let status = understands(head.contentType) ? try? decoder.status(exchange.refusalBody[...]) : nil
        let reason = "\(what) was answered with \(Self.sentence(head.status, status?.message ?? ""))"
        switch head.status {
        case 401: return [.renewCredentials] + retrySoon(reason, now)
        case 410:
            version = nil
            return retrySoon(reason, now)
        case 400, 422:
            if exchange.purpose == .streamingList {
                usesPages = true
                return [request(now)]
            }
            version = nil
        case 404:
            // Once there were any, a missing kind is more likely a fault on the way.
            if resource.mayBeMissing, known.isEmpty {
                return endedList(at: nil, now) { machine in
                    let seconds = machine.backoff.integer(in: Limits.absenceSeconds)
                    return machine.wait(.seconds(seconds), now)
                }
            }
        // The version may be one that the server does not have yet.
        case 504: version = nil
        default: break
        }
        return fail(reason, retryAfter: head.retryAfter ?? status?.retryAfter, now)
    }

    /// `403: services is forbidden`
    private static func sentence(_ code: Int, _ message: String) -> String {
        message.isEmpty ? String(code) : "\(code): \(message.printable(limit: 300))"
    }
}
