import Glibc
import SystemPackage

/// Runs programs from the calling thread, and so in the namespaces of that thread.
enum ThreadProgram {
    /// Gives the program its input, waits for its end, and returns its exit status; one that a signal ended has 128 and
    /// the signal's number. What it prints is read and dropped.
    ///
    /// - Parameter path: of the program.
    static func run(_ path: String, _ arguments: [String], input: [UInt8]) throws(Errno) -> Int32 {
        // One socket is all three of the program's: what it has no end to is read when it has its input.
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw Errno(rawValue: errno) }
        let own = ends[0]
        defer { close(own) }
        let process = try spawn(path, arguments, ends[1])
        var rest = input[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(own, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            // It has ended; its status says more.
            guard count > 0 else { break }
            rest = rest.dropFirst(count)
        }
        shutdown(own, Int32(SHUT_WR))
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(own, &buffer, buffer.count)
            guard count > 0 || (count < 0 && errno == EINTR) else { break }
        }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }

    /// - Parameter socket: the program's; closed here.
    private static func spawn(_ path: String, _ arguments: [String], _ socket: Int32) throws(Errno) -> pid_t {
        defer { close(socket) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for number: Int32 in 0...2 { posix_spawn_file_actions_adddup2(&actions, socket, number) }
        let words = ([path] + arguments).map { strdup($0) }
        defer { for word in words { free(word) } }
        var process = pid_t()
        let code = posix_spawn(&process, path, &actions, nil, words + [nil], environ)
        guard code == 0 else { throw Errno(rawValue: code) }
        return process
    }
}
