import Glibc

/// A program that is started with a way to its input and from its output.
final class ChildProcess: Sendable {
    let pid: pid_t
    /// What is written here is the program's input, and what it prints is read here.
    let end: Int32

    /// Standard error stays ours. The program is its own process group.
    init(_ command: [String]) throws(TestAPIServerError) {
        // Sockets, as those close on exec from the start.
        var ends: [Int32] = [0, 0]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw TestAPIServerError("socketpair", code: errno) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        // NIO's sockets do not close on exec: a child that had them would keep closed connections open. Closing a
        // descriptor that is not there is no error. Swift does not see `posix_spawn_file_actions_addclosefrom_np`.
        for descriptor in Int32(3)..<2048 { posix_spawn_file_actions_addclose(&actions, descriptor) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var arguments = command.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, command.first ?? "", &actions, &attributes, &arguments, environ)
        close(ends[1])
        guard code == 0 else {
            close(ends[0])
            throw TestAPIServerError("cannot start \(command)", code: code)
        }
        self.pid = pid
        end = ends[0]
    }

    deinit {
        close(end)
    }

    /// Tells the program that nothing more comes.
    func closeInput() {
        shutdown(end, Int32(SHUT_WR))
    }

    func kill() {
        _ = Glibc.kill(-pid, SIGKILL)
    }

    /// Waits for its end; the exit status, or 128 and the number of the signal. To be called once.
    func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
    }

    /// Writes all of it; false if the program is gone.
    func write(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(end, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Runs a program to its end; what it printed belongs to the error if it failed.
    static func run(_ command: [String]) throws(TestAPIServerError) {
        let child = try ChildProcess(["sh", "-c", #"exec "$@" 2>&1"#, "sh"] + command)
        child.closeInput()
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(child.end, &buffer, buffer.count)
            guard count > 0 else { break }
            text += buffer[..<count]
        }
        let status = child.wait()
        guard status == 0 else {
            throw TestAPIServerError("\(command) ended with \(status): \(String(decoding: text, as: UTF8.self))")
        }
    }
}
