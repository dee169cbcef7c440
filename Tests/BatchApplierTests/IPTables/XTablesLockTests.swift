import Foundation
import Glibc
import ProxyCore
import Synchronization
import Testing

@testable import BatchApplier

@Suite("The lock of the iptables programs")
struct XTablesLockTests {
    private let path = FileManager.default.temporaryDirectory.appending(path: "lock-\(UUID().uuidString)").path

    private func lock(_ family: IPFamily, timeout: Duration) -> XTablesLock {
        XTablesLock(path: path, timeout: timeout, family: family)
    }

    /// For a lock that nobody is to hold: programs that other tests start have every open file of this process until
    /// they are in their own, and with it the lock.
    private let patience = Duration.seconds(20)

    /// True if another open file could take the lock now.
    private func isFree() -> Bool {
        let file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(file) }
        return flock(file, LOCK_EX | LOCK_NB) == 0
    }

    private func becomesFree() async throws -> Bool {
        let end = ContinuousClock.now + patience
        while !isFree() {
            guard ContinuousClock.now < end else { return false }
            try await Task.sleep(for: .milliseconds(10))
        }
        return true
    }

    @Test("is shared by the families of one process, and free when both are done")
    func families() async throws {
        defer { unlink(path) }
        try await lock(.ipv4, timeout: patience).holding { outer in
            #expect(!isFree())
            let inner = try? await lock(.ipv6, timeout: .zero).holding { $0 }
            #expect(inner == outer)
            #expect(!isFree())
        }
        #expect(try await becomesFree())
    }

    @Test("is held by one commit of a family at a time")
    func oneOfAFamily() async throws {
        defer { unlink(path) }
        try await lock(.ipv4, timeout: patience).holding { _ in
            _ = await #expect(throws: XTablesLock.Failure.self) {
                _ = try await lock(.ipv4, timeout: .milliseconds(50)).holding { $0 }
            }
        }
        _ = try await lock(.ipv4, timeout: patience).holding { $0 }
        #expect(try await becomesFree())
    }

    @Test("is waited for while another program holds it")
    func others() async throws {
        defer { unlink(path) }
        let file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
        #expect(flock(file, LOCK_EX | LOCK_NB) == 0)
        await #expect(throws: XTablesLock.Failure.self) {
            _ = try await lock(.ipv6, timeout: .milliseconds(50)).holding { $0 }
        }
        close(file)
        _ = try await lock(.ipv6, timeout: patience).holding { $0 }
    }
}
