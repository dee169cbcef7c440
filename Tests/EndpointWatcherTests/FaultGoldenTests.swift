import EndpointWatcher
import Foundation
import ProxyCore
import Testing

/// One folder of `golden/faults`: a faulty input and what is said about it.
struct FaultCase: CustomTestStringConvertible, Sendable {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "golden/faults")

    static var all: [FaultCase] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path())) ?? []
        return names.sorted().map { FaultCase(name: $0) }
    }

    var name: String
    var testDescription: String { name }
    var expectedFile: URL { Self.folder.appending(path: "\(name)/expected.txt") }

    /// Reads the input and returns every diagnostic, one a line.
    func diagnostics() throws -> String {
        let folder = Self.folder.appending(path: name)
        var found: [Diagnostic]
        do throws(InputError) {
            if let bytes = try? Data(contentsOf: folder.appending(path: "config.yaml")) {
                found = try ConfigurationReader.read([UInt8](bytes), name: "config.yaml").1
            } else {
                let bytes = (try? Data(contentsOf: folder.appending(path: "input.yaml"))) ?? Data()
                found = try ManifestReader.read([UInt8](bytes), name: "input.yaml").diagnostics
            }
            #expect(!found.contains { $0.severity == .error })
        } catch {
            found = error.diagnostics
            #expect(found.contains { $0.severity == .error })
        }
        return found.map { "\($0)\n" }.joined()
    }
}

@Suite("Faulty inputs")
struct FaultGoldenTests {
    @Test("are told with file, line, object, field and value", arguments: FaultCase.all)
    func golden(_ fault: FaultCase) throws {
        let actual = try fault.diagnostics()
        if ProcessInfo.processInfo.environment["RECORD_GOLDEN"] == "1" {
            try Data(actual.utf8).write(to: fault.expectedFile)
            Issue.record("recorded")
            return
        }
        let expected = try String(contentsOf: fault.expectedFile, encoding: .utf8)
        #expect(actual == expected)
    }

    @Test("are all there")
    func isComplete() {
        #expect(FaultCase.all.count >= 46)
    }
}
