import Glibc

/// Answers every connection and datagram with its own name and the address that it sees as the sender.
///
/// One thread, one connection at a time: the clients of the tests wait for each answer before they ask again.
struct Server {
    var name: String
    var tcpPorts: [UInt16] = []
    var udpPorts: [UInt16] = []
    /// TCP ports whose connections stay open and are answered whenever something arrives.
    var heldPorts: [UInt16] = []
    var address = "::"
    var usesHTTP = false
    /// Whom an HTTP server asks before it answers; their lines follow its own.
    var upstreams: [Client] = []

    func run() throws(Failure) -> Never {
        var entries: [pollfd] = []
        for (transport, ports) in [(Transport.tcp, tcpPorts), (.udp, udpPorts), (.tcp, heldPorts)] {
            for port in ports {
                entries.append(pollfd(fd: try listen(transport, port), events: Int16(POLLIN), revents: 0))
            }
        }
        let held = entries.count - heldPorts.count..<entries.count
        say("ready")
        while true {
            guard poll(&entries, nfds_t(entries.count), -1) >= 0 else { throw Failure(errno: errno) }
            for (index, entry) in entries.enumerated() where entry.revents != 0 {
                if index < tcpPorts.count {
                    acceptOne(entry.fd)
                } else if index < held.lowerBound {
                    answerDatagram(entry.fd)
                } else if held.contains(index) {
                    let connection = accept(entry.fd, nil, nil)
                    if connection >= 0 { entries.append(pollfd(fd: connection, events: Int16(POLLIN), revents: 0)) }
                } else if !answerHeld(entry.fd) {
                    close(entry.fd)
                    // Left out by poll from now on.
                    entries[index].fd = -1
                }
            }
        }
    }

    /// Opens a listening socket that lives as long as the process.
    private func listen(_ transport: Transport, _ port: UInt16) throws(Failure) -> Int32 {
        guard let local = SocketAddress(host: address, port: port) else { throw .other(EINVAL) }
        let descriptor = socket(local.family, transport.socketType | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(errno: errno) }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        guard local.withPointer({ bind(descriptor, $0, $1) }) == 0 else { throw Failure(errno: errno) }
        if transport == .tcp {
            guard Glibc.listen(descriptor, 512) == 0 else { throw Failure(errno: errno) }
        }
        return descriptor
    }

    private func acceptOne(_ listener: Int32) {
        var peer = SocketAddress()
        let descriptor = peer.withMutablePointer { accept(listener, $0, $1) }
        guard descriptor >= 0 else { return }
        let socket = Socket(accepted: descriptor)
        // A client that went away is no reason for the server to stop.
        try? answer(socket, peer)
    }

    private func answer(_ socket: borrowing Socket, _ peer: SocketAddress) throws(Failure) {
        guard usesHTTP else {
            try socket.send("\(name) \(peer.host)\n")
            return
        }
        let deadline = Deadline(after: 2000)
        var request: [UInt8] = []
        while !request.ends(with: "\r\n\r\n".utf8) {
            try socket.wait(for: POLLIN, before: deadline)
            let part = try socket.receive()
            if part.isEmpty { return }
            request += part
        }
        let body = (["\(name) \(peer.host)"] + upstreams.map { $0.ask() }).joined(separator: "\n") + "\n"
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: \(body.utf8.count)\r\n"
        try socket.send(head + "Connection: close\r\n\r\n" + body)
    }

    /// Returns false at the connection's end.
    private func answerHeld(_ descriptor: Int32) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 2048)
        guard recv(descriptor, &buffer, buffer.count, 0) > 0 else { return false }
        let answer = Array("\(name)\n".utf8)
        return send(descriptor, answer, answer.count, Int32(MSG_NOSIGNAL)) >= 0
    }

    private func answerDatagram(_ descriptor: Int32) {
        var peer = SocketAddress()
        var buffer = [UInt8](repeating: 0, count: 2048)
        let count = peer.withMutablePointer { recvfrom(descriptor, &buffer, buffer.count, 0, $0, $1) }
        guard count >= 0 else { return }
        let answer = Array("\(name) \(peer.host)\n".utf8)
        _ = peer.withPointer { sendto(descriptor, answer, answer.count, 0, $0, $1) }
    }
}

extension Array where Element == UInt8 {
    fileprivate func ends(with end: some BidirectionalCollection<UInt8>) -> Bool {
        suffix(end.count).elementsEqual(end)
    }
}
