import Foundation
import ProxyCore
import TestSupport
import Testing

@testable import EndpointWatcher

@Suite("A folder of manifests")
struct FolderReaderTests {
    private let folder: ManifestFolder
    private let complete = ["complete service", "complete endpointSlice", "complete node", "complete serviceCIDR"]

    init() throws {
        folder = try ManifestFolder()
    }

    @Test("is reported whole, then by what changes")
    func changes() throws {
        try folder.write(manifest("a", port: 1) + manifest("b", port: 2), to: "ab.yaml")
        try folder.write("apiVersion: v1\nkind: Node\nmetadata: {name: worker}\n", to: "node.yml")
        try folder.write(#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"j"}}"#, to: "j.json")
        try folder.write("not: read", to: ".hidden.yaml")
        try folder.write("neither is this", to: "notes.txt")
        #expect(try folder.settle() == ["a 1", "b 2", "j ", "Node worker"] + complete)
        #expect(try folder.settle() == [])
        try folder.write(manifest("a", port: 1) + manifest("b", port: 22), to: "ab.yaml")
        #expect(try folder.settle() == ["b 22"])
        try folder.replace("ab.yaml", with: manifest("b", port: 22) + manifest("c", port: 3))
        #expect(try folder.settle() == ["c 3", "no Service default/a"])
        try folder.remove("node.yml")
        #expect(try folder.settle() == ["no Node worker"])
    }

    @Test("is not read anew where a file was only touched")
    func touched() throws {
        try folder.write(manifest("a", port: 1) + "---\n[]\n", to: "a.yaml")
        #expect(try folder.settle() == ["folder/a.yaml:9: error: is not an object", "a 1"] + complete)
        try folder.replace("a.yaml", with: manifest("a", port: 1) + "---\n[]\n")
        #expect(
            try folder.settle() == [
                "folder/a.yaml:9: error: is not an object",
                "folder/a.yaml: error: is not taken over; the objects that it held before stay",
            ])
        try folder.replace("a.yaml", with: manifest("a", port: 1) + "---\n[]\n")
        #expect(try folder.settle() == [])
    }

    @Test("keeps the objects of a file that does not parse until it does")
    func halfWritten() throws {
        try folder.write(manifest("a", port: 1) + manifest("b", port: 2), to: "ab.yaml")
        #expect(try folder.settle() == ["a 1", "b 2"] + complete)
        try folder.write(manifest("a", port: 11) + "---\napiVersion: v1\nkind: Service\nmetadata: {na", to: "ab.yaml")
        let said = try folder.settle()
        #expect(said.count == 2)
        #expect(said.first?.hasPrefix("folder/ab.yaml:12: error: is not valid YAML") == true)
        #expect(said.last == "folder/ab.yaml: error: is not taken over; the objects that it held before stay")
        try folder.write(manifest("a", port: 11) + manifest("b", port: 2), to: "ab.yaml")
        #expect(try folder.settle() == ["a 11"])
    }

    @Test("loses the objects of a file that is emptied")
    func emptied() throws {
        try folder.write(manifest("a", port: 1), to: "a.yaml")
        #expect(try folder.settle() == ["a 1"] + complete)
        try folder.write("# nothing\n", to: "a.yaml")
        #expect(
            try folder.settle() == [
                "folder/a.yaml: warning: has no documents, and so no objects", "no Service default/a",
            ])
    }

    @Test("is waited for while a file is written, and while files change places")
    func settling() throws {
        try folder.write(manifest("a", port: 1), to: "a.yaml")
        #expect(try folder.settle() == ["a 1"] + complete)
        // As an editor does that keeps a copy: for a moment there is no such file.
        try folder.remove("a.yaml")
        #expect(try folder.look().isChanging)
        try folder.write(manifest("a", port: 1), to: "renamed.yaml")
        #expect(try folder.look(after: 199).isChanging)
        #expect(try folder.look(after: 199).isChanging)
        let settled = try folder.look(after: 1)
        #expect(!settled.isChanging)
        #expect(settled.updates == [])
        // The service counts from where it is now.
        try folder.write(manifest("a", port: 2), to: "renamed.yaml")
        #expect(try folder.settle() == ["a 2"])
    }

    @Test("is read after a second in any case")
    func neverSettling() throws {
        try folder.write(manifest("a", port: 0), to: "a.yaml")
        _ = try folder.settle()
        var heard: [Int] = []
        for round in 1...21 {
            try folder.replace("a.yaml", with: manifest("a", port: round))
            if try !folder.look(after: 100).updates.isEmpty { heard.append(round) }
        }
        #expect(heard == [11, 22].filter { $0 <= 21 })
    }

    @Test("lets the last of several files decide, and the earlier one when that is gone")
    func sharedObjects() throws {
        try folder.write(manifest("a", port: 2), to: "b.yaml")
        #expect(try folder.settle() == ["a 2"] + complete)
        try folder.write(manifest("a", port: 1), to: "a.yaml")
        #expect(
            try folder.settle() == [
                "folder/a.yaml: note: Service default/a: is also in folder/b.yaml; the later one, there, is taken"
            ])
        try folder.write(manifest("a", port: 3), to: "c.yaml")
        #expect(
            try folder.settle() == [
                "folder/c.yaml: note: Service default/a: is also in folder/b.yaml; the later one, here, is taken",
                "a 3",
            ])
        try folder.remove("b.yaml")
        #expect(try folder.settle() == [])
        try folder.remove("c.yaml")
        #expect(try folder.settle() == ["a 1"])
        try folder.remove("a.yaml")
        #expect(try folder.settle() == ["no Service default/a"])
    }

    @Test("may be a ConfigMap volume, whose link to the data is swapped")
    func configMapVolume() throws {
        let version = { (name: String) in "\(self.folder.path)/\(name)" }
        for (name, port) in [("..1", 1), ("..2", 2)] {
            try FileManager.default.createDirectory(atPath: version(name), withIntermediateDirectories: true)
            try folder.write(manifest("a", port: port), to: "\(name)/a.yaml")
        }
        try folder.link("..data", to: "..1")
        try folder.link("a.yaml", to: "..data/a.yaml")
        #expect(try folder.settle() == ["a 1"] + complete)
        try folder.link("..data_tmp", to: "..2")
        #expect(rename(version("..data_tmp"), version("..data")) == 0)
        try folder.remove("..1")
        #expect(try folder.settle() == ["a 2"])
        try folder.remove("..data")
        #expect(
            try folder.settle() == [
                "folder/a.yaml: error: is a link to a file that does not exist",
                "folder/a.yaml: error: is not taken over; the objects that it held before stay",
            ])
    }

    @Test("keeps everything while it is gone, and while an empty one is in its place")
    func interrupted() throws {
        try folder.write(manifest("a", port: 1), to: "a.yaml")
        #expect(try folder.settle() == ["a 1"] + complete)
        #expect(rename(folder.path, folder.path + "-away") == 0)
        defer { try? FileManager.default.removeItem(atPath: folder.path + "-away") }
        let kinds = ["service", "endpointSlice", "node", "serviceCIDR"]
        #expect(
            try folder.settle()
                == kinds.map { "\($0) interrupted: the folder folder cannot be opened: No such file or directory" })
        #expect(try folder.settle() == [])
        try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
        #expect(
            try folder.settle()
                == kinds.map { "\($0) interrupted: the folder folder was replaced by one without manifests" })
        try folder.write(manifest("a", port: 1) + manifest("b", port: 2), to: "a.yaml")
        #expect(try folder.settle() == ["b 2"] + complete)
        // In the same folder the last file may go.
        try folder.remove("a.yaml")
        #expect(try Set(folder.settle()) == ["no Service default/a", "no Service default/b"])
    }

    @Test("can be read after it was gone and came back unchanged")
    func cameBack() throws {
        try folder.write(manifest("a", port: 1), to: "a.yaml")
        _ = try folder.settle()
        #expect(rename(folder.path, folder.path + "-away") == 0)
        _ = try folder.settle()
        #expect(rename(folder.path + "-away", folder.path) == 0)
        #expect(try folder.settle() == complete)
    }

    @Test("that is not there at the beginning is refused")
    func missing() throws {
        try FileManager.default.removeItem(atPath: folder.path)
        #expect {
            try folder.look()
        } throws: {
            ($0 as? InputError)?.description
                == "\(folder.path): error: the folder cannot be opened: No such file or directory"
        }
    }

    @Test("does not wait for a pipe, and leaves folders alone")
    func notFiles() throws {
        #expect(mkfifo("\(folder.path)/pipe.yaml", 0o600) == 0)
        try FileManager.default.createDirectory(atPath: folder.path + "/sub.yaml", withIntermediateDirectories: true)
        try folder.write(manifest("a", port: 1), to: "z.yaml")
        #expect(
            try folder.settle() == [
                "folder/pipe.yaml: error: is not a file", "folder/sub.yaml: error: is not a file", "a 1",
            ] + complete)
    }

    @Test(
        "ends with the same objects as reading it anew, whatever happened to it",
        arguments: 1...20 as ClosedRange<UInt64>)
    func histories(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var state = ClusterState()
        for _ in 0..<60 {
            let name = "\(Int.random(in: 0..<4, using: &random)).yaml"
            let services = (0..<Int.random(in: 0..<4, using: &random)).map { _ in
                manifest("s\(Int.random(in: 0..<5, using: &random))", port: Int.random(in: 1..<9, using: &random))
            }
            switch Int.random(in: 0..<4, using: &random) {
            case 0: try? folder.remove(name)
            case 1: try folder.replace(name, with: services.joined())
            default: try folder.write(services.joined(), to: name)
            }
            for update in try folder.look(after: Int.random(in: 0..<300, using: &random)).updates {
                if case .changes(let changes, _) = update { for change in changes { state.apply(change) } }
            }
        }
        for _ in 0..<3 {
            for update in try folder.look().updates {
                if case .changes(let changes, _) = update { for change in changes { state.apply(change) } }
            }
        }
        let paths = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
            .map { "\(folder.path)/\($0)" }.filter { try Data(contentsOf: URL(filePath: $0)).count > 0 }
        var expected = ClusterState()
        for change in try ManifestReader.read(paths: paths).changes { expected.apply(change) }
        #expect(state.services == expected.services)
    }
}
