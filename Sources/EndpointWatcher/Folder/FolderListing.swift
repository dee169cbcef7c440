import Glibc

/// The manifests in a folder as the file system tells of them at one look.
struct FolderListing: Hashable {
    /// What changes whenever a file is written or replaced.
    struct Stamp: Hashable {
        var device: UInt
        var inode: UInt
        var size: Int
        /// Seconds and nanoseconds.
        var modified: [Int]
        var changed: [Int]

        init(_ status: stat) {
            device = UInt(status.st_dev)
            inode = UInt(status.st_ino)
            size = Int(status.st_size)
            modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
            changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
        }
    }

    enum Entry: Hashable {
        case file(Stamp)
        /// Nothing that could be read; the sentence says why.
        case unusable(String)
    }

    /// The folder itself: another one may take its place.
    struct Identity: Hashable {
        var device: UInt
        var inode: UInt

        init(_ status: stat) {
            device = UInt(status.st_dev)
            inode = UInt(status.st_ino)
        }
    }

    var identity: Identity
    /// By file name. Names that begin with a dot are not among them.
    var entries: [String: Entry] = [:]

    /// Reads a folder; nil if another one took its place meanwhile, as what was seen may be half removed.
    init?(path: String) throws(ReadFailure) {
        guard let folder = opendir(path) else { throw ReadFailure("opened", errno: errno) }
        defer { closedir(folder) }
        var status = stat()
        guard fstat(dirfd(folder), &status) == 0 else { throw ReadFailure("read", errno: errno) }
        identity = Identity(status)
        while true {
            // Nil is the end, or an error that only errno tells of.
            errno = 0
            guard let entry = readdir(folder) else {
                guard errno == 0 else { throw ReadFailure("read", errno: errno) }
                break
            }
            guard let name = Self.manifestName(entry) else { continue }
            entries[name] = Self.entry(name, in: dirfd(folder))
        }
        guard stat(path, &status) == 0 else { throw ReadFailure("opened", errno: errno) }
        guard Identity(status) == identity else { return nil }
    }

    private static func manifestName(_ entry: UnsafeMutablePointer<dirent>) -> String? {
        // Through the pointer: a copy of the entry would have all 256 bytes of the name, and hold only some.
        guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { return nil }
        let bytes = UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self)
        guard bytes[0] != CChar(UInt8(ascii: ".")), let name = String(validatingCString: bytes) else { return nil }
        return [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) } ? name : nil
    }

    /// Nil for a file that has gone.
    private static func entry(_ name: String, in folder: Int32) -> Entry? {
        var status = stat()
        guard fstatat(folder, name, &status, 0) == 0 else {
            let code = errno
            guard code == ENOENT else { return .unusable(ReadFailure("read", errno: code).sentence) }
            // A link to nothing is a mistake rather than a deletion.
            return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0
                ? .unusable("is a link to a file that does not exist") : nil
        }
        return status.st_mode & S_IFMT == S_IFREG ? .file(Stamp(status)) : .unusable("is not a file")
    }
}
