import Glibc
import ProxyCore

/// Reads a folder of manifests again and again, and says what is new. Blocks while it reads.
struct FolderReader {
    /// What one look has led to.
    struct Look {
        var updates: [SourceUpdate] = []
        /// True if the folder is to be looked at again as soon as it may have settled.
        var isChanging = false
    }

    /// How many changes are delivered together.
    static let changeLimit = 500

    private let path: String
    private var settling: FolderSettling
    private var objects = FolderObjects()
    private var pool = StringPool()
    /// What was last said about each file, so that it is not said again for a file that is only touched.
    private var diagnostics: [String: [Diagnostic]] = [:]
    private var isComplete = false
    private var interruption: String?

    init(path: String, settling: FolderSettling = FolderSettling()) {
        self.path = path
        self.settling = settling
    }

    /// Looks at the folder, and reads what has changed in it if it is at rest.
    ///
    /// Throws if the folder cannot be read at all before it has been read once.
    mutating func look(at now: ContinuousClock.Instant) throws(InputError) -> Look {
        let before = settling.taken
        let listing: FolderListing
        do throws(ReadFailure) {
            guard let seen = try FolderListing(path: path) else { return Look(isChanging: true) }
            listing = seen
        } catch {
            guard isComplete else { throw InputError([Diagnostic(.error, at: path, "the folder \(error.sentence)")]) }
            return Look(updates: interrupt("the folder \(path.printable(limit: 200)) \(error.sentence)"))
        }
        // What was mounted there has gone, or somebody is about to fill a new folder.
        if listing.entries.isEmpty, !objects.isEmpty, interruption != nil || listing.identity != before?.identity {
            return Look(
                updates: interrupt("the folder \(path.printable(limit: 200)) was replaced by one without manifests"))
        }
        switch settling.saw(listing, at: now) {
        case .changing: return Look(isChanging: true)
        case .unchanged: return Look(updates: interruption == nil ? [] : complete())
        case .settled: return take(listing, since: before, at: now, evenIfChanging: false)
        case .overdue: return take(listing, since: before, at: now, evenIfChanging: true)
        }
    }

    private mutating func take(
        _ listing: FolderListing, since before: FolderListing?, at now: ContinuousClock.Instant, evenIfChanging: Bool
    ) -> Look {
        var look = Look()
        let known = before?.entries ?? [:]
        for name in Set(known.keys).union(listing.entries.keys).sorted() where known[name] != listing.entries[name] {
            var found: [Diagnostic] = []
            switch listing.entries[name] {
            case nil: _ = objects.set([], of: name)
            case .unusable(let sentence): found = refused(name, [Diagnostic(.error, at: place(name), sentence)])
            case .file(let stamp):
                guard let reading = read(name, stamp, evenIfChanging: evenIfChanging) else {
                    settling.forget(name)
                    look.isChanging = true
                    continue
                }
                found = reading
            }
            if diagnostics[name] ?? [] != found { look.updates += found.map { .diagnostic($0) } }
            diagnostics[name] = found.isEmpty ? nil : found
        }
        var changes = objects.takeChanges()[...]
        while !changes.isEmpty {
            look.updates.append(.changes(Array(changes.prefix(Self.changeLimit)), receivedAt: now))
            changes = changes.dropFirst(Self.changeLimit)
        }
        // Until every file has been read once, what is missing does not mean that it is gone.
        if interruption != nil || !isComplete, !look.isChanging { look.updates += complete() }
        return look
    }

    /// Reads a file and takes its objects over; nil if it is not, or does not stay, what the listing saw.
    private mutating func read(_ name: String, _ stamp: FolderListing.Stamp, evenIfChanging: Bool) -> [Diagnostic]? {
        // Not blocking, in case a pipe has taken the file's place.
        let descriptor = open("\(path)/\(name)", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let code = errno
            guard code != ENOENT else { return nil }
            let failure = ReadFailure("opened", errno: code)
            return refused(name, [Diagnostic(.error, at: place(name), failure.sentence)])
        }
        let file = InputFile(descriptor: descriptor)
        func isAsSeen() -> Bool {
            var status = stat()
            return fstat(descriptor, &status) == 0
                && (FolderListing.Stamp(status) == stamp || evenIfChanging && status.st_mode & S_IFMT == S_IFREG)
        }
        guard isAsSeen() else { return nil }
        var collector = ManifestCollector()
        collector.pool = pool
        do throws(ReadFailure) {
            var documents = try DocumentReader { (buffer) throws(ReadFailure) in try file.read(into: &buffer) }
            try collector.read(&documents, of: place(name))
            if collector.documentCount == 0 {
                collector.diagnostics = [Diagnostic(.warning, at: place(name), "has no documents, and so no objects")]
            }
        } catch {
            collector.diagnostics.append(Diagnostic(.error, at: place(name), error.sentence))
        }
        // The descriptor must stay open up to here.
        let isSame = withExtendedLifetime(file) { isAsSeen() }
        guard isSame else { return nil }
        pool = collector.pool
        if collector.diagnostics.contains(where: { $0.severity == .error }), !objects.isEmpty(name) {
            return refused(name, collector.diagnostics)
        }
        let shared = objects.set(collector.changes, of: name)
        return collector.diagnostics + shared.map { note($0, also: $1, in: name) }
    }

    /// What is said of a file that cannot be taken over.
    private func refused(_ name: String, _ found: [Diagnostic]) -> [Diagnostic] {
        guard !objects.isEmpty(name) else { return found }
        return found + [Diagnostic(.error, at: place(name), "is not taken over; the objects that it held before stay")]
    }

    private func note(_ identity: ObjectKey, also other: String, in name: String) -> Diagnostic {
        let later = other < name ? "here" : "there"
        return Diagnostic(
            .note, at: place(name), "\(identity): is also in \(place(other)); the later one, \(later), is taken")
    }

    private func place(_ name: String) -> String { "\(path)/\(name)".printable(limit: 400) }

    private mutating func complete() -> [SourceUpdate] {
        isComplete = true
        interruption = nil
        return ObjectKind.allCases.map { .complete($0) }
    }

    private mutating func interrupt(_ reason: String) -> [SourceUpdate] {
        guard interruption != reason else { return [] }
        interruption = reason
        return ObjectKind.allCases.map { .interrupted($0, reason: reason) }
    }
}
