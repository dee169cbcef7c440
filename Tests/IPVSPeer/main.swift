// Virtual servers, sets and the service device: it runs inside network namespaces or another kernel, reads commands
// from its standard input, a line each, and prints what came of them.

import BatchApplier
import ProxyCore

let kernel = Commands()
while let line = readLine() {
    let words = line.split(separator: " ").map(String.init)
    guard !words.isEmpty else { continue }
    do {
        for line in try await kernel.run(words) { print(line) }
    } catch let error as IPVSError {
        print("\(error.kind): \(error)")
    } catch {
        print("\(line): \(error)")
    }
}
