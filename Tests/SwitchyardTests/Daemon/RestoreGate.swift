import Foundation
import TestSupport
import Testing

/// A restore program that a test can hold in the middle of a commit, or have fail.
///
/// It stands in a folder of its own and has the real one's name, so that a daemon with the folder first in its PATH
/// starts it.
final class RestoreGate: Sendable {
    enum Point: String, CaseIterable, Sendable {
        /// The real program has not been started.
        case before
        /// It has read a part of its input.
        case middle
        /// It has ended.
        case after
    }

    let folder: URL

    init(_ program: String, in folder: URL) throws {
        self.folder = folder
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let real = try Command.require(["sh", "-c", "PATH=$PATH:/usr/sbin:/sbin command -v \(program)"])
        try Command.writeScript(
            """
            REAL=\(real.split(separator: "\n").first ?? "")
            cd \(folder.path)
            case "$*" in *--version*) exec $REAL "$@";; esac
            # Standard output is the lock, which nothing may be written to.
            pause() {
                echo $$ >held.new && mv held.new held-$number
                for i in $(seq 6000); do [ -e go-$number ] || [ -e closed ] || [ ! -e "$0" ] && break; sleep 0.01; done
            }
            if [ -e refuse ]; then
                cat >refused
                cat refuse >&2
                exit 1
            fi
            if [ -e record ]; then
                cat >input.$$
                mv input.$$ input-$(date +%s.%N)
                exec $REAL "$@" <"$(ls -d input-* | tail -n 1)"
            fi
            # Only the first one to come is held.
            mv hold held-by.$$ 2>errors || exec $REAL "$@"
            read -r point number <held-by.$$
            case $point in
            before) pause; exec $REAL "$@";;
            middle) { dd bs=1 count=200 2>errors; pause; cat; } | $REAL "$@";;
            after) $REAL "$@"; status=$?; pause; exit $status;;
            esac
            """, to: folder.appending(path: program).path)
    }

    /// Lets go whoever is still held.
    func close() { try? make("closed") }

    /// Holds the next commit. Numbers tell one hold from another.
    func hold(_ number: Int, at point: Point) throws {
        try make("hold", "\(point.rawValue) \(number)\n")
    }

    func isHeld(_ number: Int) -> Bool { exists("held-\(number)") }

    func waitUntilHeld(_ number: Int) async -> Bool {
        await DaemonProcess.wait(.seconds(60), every: .milliseconds(10)) { isHeld(number) }
    }

    func letGo(_ number: Int) throws { try make("go-\(number)") }

    /// Has every commit fail with what iptables-restore says of a line that the kernel does not take.
    func refuse(line: Int) throws { try make("refuse", "iptables-restore: line \(line) failed\n") }

    func refuseNoLonger() throws { try FileManager.default.removeItem(at: folder.appending(path: "refuse")) }

    func record() throws { try make("record") }

    /// What was committed since `record()`, in its order.
    var recorded: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasPrefix("input-") }.sorted().compactMap {
            try? String(contentsOf: folder.appending(path: $0), encoding: .utf8)
        }
    }

    private func exists(_ name: String) -> Bool {
        FileManager.default.fileExists(atPath: folder.appending(path: name).path)
    }

    private func make(_ name: String, _ text: String = "") throws {
        try Data(text.utf8).write(to: folder.appending(path: name), options: .atomic)
    }
}
