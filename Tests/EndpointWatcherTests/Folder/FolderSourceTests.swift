import Foundation
import ProxyCore
import Synchronization
import Testing

@testable import EndpointWatcher

@Suite("FolderSource")
struct FolderSourceTests {
    @Test("reports a folder and follows it until it is cancelled")
    func follows() async throws {
        let folder = try ManifestFolder()
        try folder.write(manifest("a", port: 1), to: "a.yaml")
        var source = FolderSource(path: folder.path)
        source.interval = .milliseconds(10)
        source.settling.quiet = .milliseconds(5)
        let (updates, continuation) = AsyncStream.makeStream(of: SourceUpdate.self)
        let task = Task { [source] in try await source.run { continuation.yield($0) } }
        var reported = updates.makeAsyncIterator()
        guard case .changes(let first, _) = await reported.next() else {
            Issue.record("no changes first")
            return
        }
        #expect(first.map { $0.key.description } == ["Service default/a"])
        for kind in ObjectKind.allCases { #expect(await reported.next() == .complete(kind)) }
        try folder.remove("a.yaml")
        guard case .changes(let second, _) = await reported.next() else {
            Issue.record("no deletion")
            return
        }
        #expect(second == first.map { $0.key.deletion })
        task.cancel()
        try await task.value
    }

    @Test("ends with the fault where there is no folder")
    func missing() async {
        await #expect(throws: InputError.self) {
            try await FolderSource(path: "/nonexistent/manifests").run { _ in }
        }
    }
}
