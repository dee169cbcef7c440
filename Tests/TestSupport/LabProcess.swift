package import Glibc

/// Starts programs for the traffic lab: no shell, no Foundation, output through files.
package enum LabProcess {
    package struct Output: Sendable {
        package var status: Int32
        package var standardOutput: String
        package var standardError: String
    }

    package struct Failure: Error, CustomStringConvertible {
        package var description: String

        package init(description: String) {
            self.description = description
        }
    }

    /// Runs a program to its end.
    ///
    /// Output goes to files, so a program that writes much to both streams never waits for its reader.
    package static func run(_ arguments: [String], input: String = "") throws -> Output {
        let files = try [namelessFile(), namelessFile(), namelessFile()]
        defer { files.forEach { close($0) } }
        let bytes = Array(input.utf8)
        guard pwrite(files[0], bytes, bytes.count, 0) == bytes.count else { throw failure("pwrite", errno) }
        let pid = try start(arguments, descriptors: files)
        return try Output(status: wait(for: pid), standardOutput: text(files[1]), standardError: text(files[2]))
    }

    /// Runs a program that must succeed, and returns what it printed.
    @discardableResult
    package static func check(_ arguments: [String], input: String = "") throws -> String {
        let output = try run(arguments, input: input)
        guard output.status == 0 else {
            throw Failure(
                description: "\(arguments.joined(separator: " ")): exit \(output.status): \(output.standardError)")
        }
        return output.standardOutput
    }

    /// Starts a program with the given descriptors as its standard ones; -1 keeps ours.
    package static func start(_ arguments: [String], descriptors: [Int32]) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (target, descriptor) in descriptors.enumerated() where descriptor >= 0 {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(target))
        }
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        defer { words.forEach { free($0) } }
        words.append(nil)
        var pid: pid_t = 0
        let status = posix_spawnp(&pid, arguments[0], &actions, nil, words, environ)
        guard status == 0 else { throw failure("cannot start \(arguments[0])", status) }
        return pid
    }

    /// Waits for a program that `start` began; returns its exit status, or 128 and the signal that ended it.
    @discardableResult
    package static func wait(for pid: pid_t) throws -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            guard errno == EINTR else { throw failure("waitpid", errno) }
        }
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }

    /// A way for bytes that no program inherits unless it is handed over.
    ///
    /// A pair of sockets, as those close on exec from the start: Swift does not see `pipe2`.
    package static func pipe() throws -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [0, 0]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw failure("socketpair", errno) }
        return (ends[0], ends[1])
    }

    /// Whether a program of that name is on the path.
    package static func exists(_ name: String) -> Bool {
        guard let path = getenv("PATH") else { return false }
        return String(cString: path).split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
    }

    /// A file that is gone when its descriptors are closed.
    private static func namelessFile() throws -> Int32 {
        var path = (P_tmpdir + "/lab-XXXXXX").utf8CString.map { $0 }
        let file = mkstemp(&path)
        guard file >= 0 else { throw failure("mkstemp", errno) }
        unlink(path)
        _ = fcntl(file, F_SETFD, FD_CLOEXEC)
        return file
    }

    private static func text(_ file: Int32) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = pread(file, &buffer, buffer.count, bytes.count)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer.prefix(count)
        }
    }

    private static func failure(_ operation: String, _ code: Int32) -> Failure {
        Failure(description: "\(operation): \(String(cString: strerror(code)))")
    }
}
