import Foundation
import Logging
import ProxyCore
import Synchronization
import Testing

@testable import SyncLoop

@Suite("LogWriter")
struct LogWriterTests {
    @Test("writes all lines in order, and has written them when flushed")
    func order() throws {
        let pipe = try Pipe()
        do {
            let writer = LogWriter(format: .text, level: .info, descriptor: pipe.writing)
            var logger = writer.logger("loop")
            logger[metadataKey: "family"] = "IPv4"
            for number in 0..<500 { logger.info("\(number)") }
            logger.debug("not written")
            #expect(writer.flush(within: .seconds(10)))
            #expect(writer.droppedLineCount == 0)
        }
        #expect(pipe.readAll().map(message) == (0..<500).map { "\($0) family=IPv4" })
    }

    @Test("never waits for a pipe that nobody reads, and tells what was lost when somebody does")
    func unreadPipe() throws {
        let pipe = try Pipe()
        let dropped: Int
        do {
            let writer = LogWriter(format: .text, level: .info, descriptor: pipe.writing, capacity: 10_000)
            let logger = writer.logger("loop")
            // More than a pipe and both buffers hold.
            let padding = String(repeating: "x", count: 80)
            for number in 0..<4000 { logger.info("\(number)", metadata: ["text": "\(padding)"]) }
            #expect(!writer.flush(within: .milliseconds(20)))
            dropped = writer.droppedLineCount
            #expect(dropped > 1000)
            pipe.startReading()
            #expect(writer.flush(within: .seconds(10)))
            logger.info("after")
            #expect(writer.droppedLineCount == dropped)
        }
        let lines = pipe.readAll().map(message)
        #expect(lines.last == "after")
        let counts = lines.compactMap { $0.firstMatch(of: /^lines of the log were lost count=(\d+)/) }
            .compactMap { Int($0.1) }
        #expect(counts.reduce(0, +) == dropped)
        let numbers = lines.compactMap { Int($0.prefix { $0 != " " }) }
        #expect(numbers.count == 4000 - dropped)
        #expect(numbers == numbers.sorted())
    }

    @Test("takes no line after one that found no room, until the buffer is taken")
    func refusal() throws {
        let buffer = LogBuffer(capacity: 10)
        for count in [8, 5, 1] { buffer.append([UInt8](repeating: 0, count: count)) }
        let batch = try #require(buffer.take())
        #expect(batch.lines.map(\.count) == [8])
        #expect(batch.refusedCount == 2)
        #expect(buffer.droppedCount == 2)
        buffer.append([0])
        #expect(buffer.take()?.lines.count == 1)
    }

    @Test("counts what a full disk and a closed descriptor do not take", arguments: ["/dev/full", nil])
    func nothingTaken(_ path: String?) throws {
        let descriptor = path.map { open($0, O_WRONLY) } ?? -1
        let writer = LogWriter(format: .json, level: .info, descriptor: descriptor)
        if descriptor >= 0 { close(descriptor) }
        let logger = writer.logger("loop")
        for number in 0..<100 { logger.info("\(number)") }
        #expect(writer.flush(within: .seconds(10)))
        #expect(writer.droppedLineCount == 100)
    }

    @Test("survives the end of whoever reads")
    func readerGone() throws {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        let writer = LogWriter(format: .text, level: .info, descriptor: ends[0])
        close(ends[0])
        // Over for a process too that another test starts just now, and that has a copy until its exec.
        shutdown(ends[1], Int32(SHUT_RDWR))
        close(ends[1])
        writer.logger("loop").info("into the void")
        #expect(writer.flush(within: .seconds(10)))
        #expect(writer.droppedLineCount == 1)
    }

    @Test("tells the count and the reason before the first line that goes out again")
    func recovery() throws {
        let pipe = try Pipe()
        let buffer = LogBuffer(capacity: 1000)
        let descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC)
        let thread = WriterThread(descriptor, buffer)
        for number in 0..<3 { buffer.append(Array("\(number)\n".utf8)) }
        #expect(buffer.flush(within: .seconds(10)))
        #expect(dup2(pipe.writing, descriptor) == descriptor)
        buffer.append(Array("3\n".utf8))
        thread.join()
        #expect(
            pipe.readAll().map(message) == [
                "lines of the log were lost count=3 reason=\"No space left on device\"", "3",
            ])
        #expect(buffer.droppedCount == 3)
    }

    @Test("begins a new line after one that went out in part")
    func partialLine() throws {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        let buffer = LogBuffer(capacity: 1 << 24)
        let thread = WriterThread(ends[0], buffer)
        // More than a socket holds: the rest is refused when the other end is closed.
        buffer.append([UInt8](repeating: UInt8(ascii: "x"), count: 1 << 23))
        var byte: UInt8 = 0
        try #require(read(ends[1], &byte, 1) == 1)
        close(ends[1])
        #expect(buffer.flush(within: .seconds(10)))
        let pipe = try Pipe()
        #expect(dup2(pipe.writing, ends[0]) == ends[0])
        buffer.append(Array("next\n".utf8))
        thread.join()
        let text = pipe.readText()
        #expect(text.hasPrefix("\n"))
        #expect(text.hasSuffix("\nnext\n"))
        #expect(buffer.droppedCount == 1)
    }

    @Test(
        "takes its level from the verbosity",
        arguments: [(-1, Logger.Level.info), (0, .info), (1, .debug), (4, .debug), (5, .trace)])
    func verbosity(_ verbosity: Int, _ level: Logger.Level) {
        var configuration = ProxyConfiguration()
        configuration.loggingVerbosity = verbosity
        #expect(LogWriter(configuration, descriptor: -1).logger("loop").logLevel == level)
    }

    @Test("writes what comes with a message: facts of the logger, of the message, and its error")
    func facts() throws {
        let pipe = try Pipe()
        do {
            var configuration = ProxyConfiguration()
            configuration.loggingFormat = "json"
            let writer = LogWriter(configuration, descriptor: pipe.writing)
            var logger = writer.logger("watch")
            logger[metadataKey: "kind"] = "Service"
            logger[metadataKey: "try"] = "1"
            logger.warning("refused", error: CancellationError(), metadata: ["try": "2"])
        }
        let line = try #require(pipe.readAll().first)
        #expect(
            line.hasSuffix(
                #""level":"warning","logger":"watch","message":"refused","metadata":{"error":"CancellationError()","kind":"Service","try":"2"}}"#
            ))
    }

    /// What stands after the label.
    private func message(_ line: String) -> String {
        line.firstRange(of: ": ").map { String(line[$0.upperBound...]) } ?? line
    }
}

/// A pipe that is read on a thread, so that no test waits for its own reading.
private final class Pipe: Sendable {
    let writing: Int32
    private let reading: Int32
    private let bytes = Mutex<[UInt8]>([])
    private let isStarted = Mutex(false)
    private let end = DispatchSemaphore(value: 0)

    init() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        (reading, writing) = (ends[0], ends[1])
    }

    func startReading() {
        guard
            isStarted.withLock({ isStarted in
                defer { isStarted = true }; return !isStarted
            })
        else { return }
        Thread { [self] in
            var piece = [UInt8](repeating: 0, count: 65536)
            while true {
                let count = read(reading, &piece, piece.count)
                guard count > 0 else { break }
                bytes.withLock { $0 += piece[..<count] }
            }
            close(reading)
            end.signal()
        }.start()
    }

    /// The lines that were written, when all who write have gone.
    func readAll() -> [String] {
        readText().split(separator: "\n").map(String.init)
    }

    func readText() -> String {
        close(writing)
        startReading()
        end.wait()
        return bytes.withLock { String(decoding: $0, as: UTF8.self) }
    }
}

/// Writes a buffer to a descriptor, which it closes at the end.
private final class WriterThread: Sendable {
    private let buffer: LogBuffer
    private let end = DispatchSemaphore(value: 0)

    init(_ descriptor: Int32, _ buffer: LogBuffer) {
        self.buffer = buffer
        Thread { [end] in
            do {
                var output = LogOutput(descriptor: descriptor, format: .text, buffer: buffer)
                output.writeAll()
            }
            end.signal()
        }.start()
    }

    func join() {
        buffer.end()
        end.wait()
    }
}
