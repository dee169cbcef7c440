import ProxyCore

/// The objects that the files of a folder hold, and what has changed in them since somebody last asked.
///
/// Of an object in several files the one in the last file counts, by the order of names.
struct FolderObjects {
    private var files: [String: [ObjectKey: ObjectChange]] = [:]
    /// The files that hold an object, in order.
    private var holders: [ObjectKey: [String]] = [:]
    /// What counted before the changes that nobody has asked for yet, and the order in which they came.
    private var earlier: [ObjectKey: ObjectChange?] = [:]
    private var touched: [ObjectKey] = []

    var isEmpty: Bool { holders.isEmpty }

    func isEmpty(_ file: String) -> Bool { files[file]?.isEmpty ?? true }

    /// Replaces what a file holds. Returns the objects that it did not hold before and another file holds too, with
    /// the last such file.
    mutating func set(_ objects: [ObjectChange], of file: String) -> [(ObjectKey, otherFile: String)] {
        let old = files[file] ?? [:]
        var new: [ObjectKey: ObjectChange] = [:]
        var shared: [(ObjectKey, otherFile: String)] = []
        for object in objects {
            let identity = object.key
            noteEarlier(identity)
            new[identity] = object
            guard old[identity] == nil else { continue }
            var names = holders[identity] ?? []
            if let other = names.last { shared.append((identity, other)) }
            names.insert(file, at: names.firstIndex { $0 > file } ?? names.endIndex)
            holders[identity] = names
        }
        for identity in old.keys where new[identity] == nil {
            noteEarlier(identity)
            holders[identity]?.removeAll { $0 == file }
            if holders[identity]?.isEmpty == true { holders[identity] = nil }
        }
        files[file] = new.isEmpty ? nil : new
        return shared
    }

    /// What has changed since the last call: first what there is, then what has gone.
    mutating func takeChanges() -> [ObjectChange] {
        var changes: [ObjectChange] = []
        var deletions: [ObjectChange] = []
        for identity in touched {
            let before = earlier[identity] ?? nil
            let now = current(identity)
            guard before != now else { continue }
            if let now { changes.append(now) } else { deletions.append(identity.deletion) }
        }
        earlier = [:]
        touched = []
        return changes + deletions
    }

    private mutating func noteEarlier(_ identity: ObjectKey) {
        guard earlier[identity] == nil else { return }
        earlier[identity] = .some(current(identity))
        touched.append(identity)
    }

    private func current(_ identity: ObjectKey) -> ObjectChange? {
        holders[identity]?.last.flatMap { files[$0]?[identity] }
    }
}
