import Glibc
import ProxyCore
import Synchronization
import SystemPackage

/// The lock file of the iptables programs, and how it is waited for.
///
/// The legacy programs that change tables hold an flock on /run/xtables.lock, or on the file that XTABLES_LOCKFILE
/// names, while they work on one table (iptables(8), LOCK FILE). iptables-restore lets go of it between two tables, and
/// iptables-save takes none. Here it is held from the reading to the end of the commit, so that nothing comes between.
struct XTablesLock {
    let path: String
    let timeout: Duration
    /// Whose tables are worked on.
    let family: IPFamily

    /// Given to a restore program as XTABLES_LOCKFILE where the applier holds the lock itself: an own file for each
    /// process, which nobody else can hold.
    static let ownFileOfEachProcess = "/proc/self/stat"

    enum Failure: Error {
        case held(LockHolder?)
        case cannotOpen(errno: Int32)
    }

    /// Runs `body` with the lock held.
    ///
    /// It is given the descriptor that holds the lock. A process that inherits it holds the lock too, and keeps it
    /// when this process is killed.
    func holding<Value: Sendable>(_ body: (FileDescriptor) async -> Value) async throws(Failure) -> Value {
        let clock = ContinuousClock()
        let end = clock.now + timeout
        while true {
            if let file = try Self.held.take(path, family) {
                defer { Self.held.giveBack(path, family) }
                return await body(FileDescriptor(rawValue: file))
            }
            guard clock.now < end else { throw .held(LockHolder.find(ofFileAt: path)) }
            try? await clock.sleep(for: .milliseconds(20))
        }
    }

    private static let held = HeldLocks()
}

/// The lock files that this process holds.
///
/// There is one lock for the tables of both families, which have nothing to do with each other in the kernel. So while
/// one family's commit holds it, which takes ten seconds in a large cluster, the other's commits go on beside it.
private final class HeldLocks: Sendable {
    private struct Lock {
        var file: Int32
        var families: Set<IPFamily>
    }

    private let locks = Mutex<[String: Lock]>([:])

    /// The descriptor that holds the lock; nil while another process, or the same family, holds it.
    func take(_ path: String, _ family: IPFamily) throws(XTablesLock.Failure) -> Int32? {
        let result = locks.withLock { locks -> Result<Int32?, XTablesLock.Failure> in
            if let lock = locks[path] {
                guard !lock.families.contains(family) else { return .success(nil) }
                locks[path]?.families.insert(family)
                return .success(lock.file)
            }
            // With the flags and the mode of the iptables programs.
            let file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
            guard file >= 0 else { return .failure(.cannotOpen(errno: errno)) }
            guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
                close(file)
                return .success(nil)
            }
            locks[path] = Lock(file: file, families: [family])
            return .success(file)
        }
        return try result.get()
    }

    func giveBack(_ path: String, _ family: IPFamily) {
        locks.withLock { locks in
            locks[path]?.families.remove(family)
            guard let lock = locks[path], lock.families.isEmpty else { return }
            // Closed and not unlocked, which would take the lock from a process that has inherited it.
            close(lock.file)
            locks[path] = nil
        }
    }
}

/// A process that holds a lock.
public struct LockHolder: Hashable, Sendable, CustomStringConvertible {
    public let pid: Int32
    /// The name of its program, as /proc/PID/comm has it.
    public let command: String?

    public var description: String { command.map { "\(pid) (\($0))" } ?? "\(pid)" }

    /// Who holds an flock on a file, as far as /proc tells.
    ///
    /// /proc/locks names the process that took the lock. A descriptor is inherited, so that one may be gone while a
    /// child holds the lock; then the fdinfo files name it. Processes of other PID namespaces are shown as 0.
    static func find(ofFileAt path: String) -> LockHolder? {
        var information = stat()
        guard stat(path, &information) == 0 else { return nil }
        let device = deviceNumbers(information.st_dev)
            .map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
        let file = "\(device):\(information.st_ino)"
        for line in (readSmallFile("/proc/locks") ?? "").split(separator: "\n") {
            let words = line.split(separator: " ")
            // "1: FLOCK ADVISORY WRITE 9118 fe:00:16220270 0 EOF"; one that waits has "->" as its second word.
            guard words.count > 5, words[1] == "FLOCK", words[5] == file, let pid = Int32(words[4]) else { continue }
            if let command = command(of: pid) { return LockHolder(pid: pid, command: command) }
            return heir(ofLock: file) ?? (pid > 0 ? LockHolder(pid: pid, command: nil) : nil)
        }
        return nil
    }

    /// Major and minor number, as the macros of sys/sysmacros.h, which Swift does not import, take them apart.
    private static func deviceNumbers(_ device: UInt) -> [UInt] {
        [device >> 8 & 0xfff | device >> 32 & 0xffff_f000, device & 0xff | device >> 12 & 0xffff_ff00]
    }

    /// The first process with a descriptor that holds the lock.
    private static func heir(ofLock file: String) -> LockHolder? {
        for pid in entries(of: "/proc").compactMap({ Int32($0) }) {
            for descriptor in entries(of: "/proc/\(pid)/fdinfo") {
                let text = readSmallFile("/proc/\(pid)/fdinfo/\(descriptor)") ?? ""
                if text.contains("FLOCK"), text.contains(" \(file) ") {
                    return LockHolder(pid: pid, command: command(of: pid))
                }
            }
        }
        return nil
    }

    private static func command(of pid: Int32) -> String? {
        readSmallFile("/proc/\(pid)/comm")?.trimmed
    }

    private static func entries(of directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names.filter { !$0.hasPrefix(".") }
    }
}
