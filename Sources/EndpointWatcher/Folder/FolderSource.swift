import Dispatch
public import ProxyCore
import Synchronization

/// The objects of the manifests in a folder, followed as its files change.
///
/// Every file with a name that ends in `.yaml`, `.yml` or `.json` and does not begin with a dot is read as
/// `ManifestReader` does. A change is taken over when nothing has moved in the folder for 200 ms, and after one second
/// of changes in any case; the folder is looked at twice a second, less often where that would take more than 2 % of a
/// core. Looking works on every file system, and sees through the links of a ConfigMap volume.
///
/// A file with a fault that would refuse it offline is told of and changes nothing: its objects stay as they were. Only
/// where there are none yet, what can be read of it is taken. A file that is gone or has no documents takes its objects
/// away. While the folder itself cannot be read, everything stays.
public struct FolderSource: ObjectSource {
    private let path: String
    /// How often the folder is looked at.
    var interval = Duration.milliseconds(500)
    var settling = FolderSettling()

    public init(path: String) {
        self.path = path
    }

    /// Throws `InputError` if the folder cannot be read at all at the beginning.
    public func run(_ deliver: @escaping @Sendable (SourceUpdate) async -> Void) async throws {
        let worker = FolderWorker(FolderReader(path: path, settling: settling))
        while !Task.isCancelled {
            let (look, cost) = try await worker.look()
            for update in look.updates { await deliver(update) }
            // Fifty times the cost is 2 %.
            let pause = look.isChanging ? settling.quiet : max(interval, min(cost * 50, .seconds(5)))
            do { try await Task.sleep(for: pause) } catch { return }
        }
    }
}

/// Has a folder read on a thread that may block.
private final class FolderWorker: Sendable {
    private let reader: Mutex<FolderReader>
    private let queue = DispatchQueue(label: "switchyard.folder")

    init(_ reader: FolderReader) {
        self.reader = Mutex(reader)
    }

    func look() async throws -> (FolderReader.Look, cost: Duration) {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { [self] in
                continuation.resume(
                    with: Result {
                        let start = ContinuousClock.now
                        let look = try reader.withLock { reader in try reader.look(at: start) }
                        // Reading is rare: only looking is to be spread.
                        return (look, look.updates.isEmpty ? .now - start : .zero)
                    })
            }
        }
    }
}
