public import Foundation
public import Logging
public import ProxyCore

/// Writes the log, one line a message, and never lets the daemon wait for whoever reads it.
///
/// Lines go through a bounded buffer to a thread of its own. Standard error may be a pipe that nobody reads, a file on a
/// full disk, or closed: then lines are dropped and counted, and the count is logged when lines go out again.
public final class LogWriter: Sendable {
    private let format: LogFormat
    private let level: Logger.Level
    private let buffer: LogBuffer

    /// Writes to a descriptor, of which it keeps a duplicate: what is opened in its place later is not written to.
    ///
    /// - Parameter capacity: how many bytes may wait; as many again may be in the writing thread's hands.
    public init(
        format: LogFormat, level: Logger.Level, descriptor: Int32 = STDERR_FILENO, capacity: Int = 1 << 20
    ) {
        self.format = format
        self.level = level
        buffer = LogBuffer(capacity: capacity)
        // Above the three descriptors that have a meaning to any program.
        let duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        let thread = Thread { [buffer] in
            var output = LogOutput(descriptor: duplicate, format: format, buffer: buffer)
            output.writeAll()
        }
        thread.name = "log"
        thread.start()
    }

    /// As the configuration has it: `logging.format`, and `logging.verbosity`, of which 0 means `info`, 1 to 4 `debug`
    /// and more `trace`.
    public convenience init(_ configuration: ProxyConfiguration, descriptor: Int32 = STDERR_FILENO) {
        let level: Logger.Level =
            switch configuration.loggingVerbosity {
            case ...0: .info
            case 1...4: .debug
            default: .trace
            }
        self.init(
            format: LogFormat(rawValue: configuration.loggingFormat) ?? .text, level: level, descriptor: descriptor)
    }

    deinit { buffer.end() }

    /// Lines that were lost since the start.
    public var droppedLineCount: Int { buffer.droppedCount }

    /// A logger whose lines name a part of the daemon, such as `watch` or `iptables`.
    public func logger(_ label: String) -> Logger {
        var logger = Logger(label: label) { Handler(label: $0, writer: self) }
        logger.logLevel = level
        return logger
    }

    /// Waits until all lines so far were written or lost, but no longer than the limit: for the end of the process.
    /// False if they were not.
    @discardableResult
    public func flush(within limit: Duration = .seconds(1)) -> Bool {
        buffer.flush(within: limit)
    }

    private func write(
        _ level: Logger.Level, _ label: String, _ message: String, _ metadata: Logger.Metadata
    ) {
        buffer.append(format.line(at: Date(), level, label, message, metadata))
    }
}

extension LogWriter {
    private struct Handler: LogHandler {
        let label: String
        let writer: LogWriter
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]
        var metadataProvider: Logger.MetadataProvider?

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            var all = metadata
            if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
            if let own = event.metadata { all.merge(own) { $1 } }
            if let error = event.error { all["error"] = .string(String(describing: error)) }
            writer.write(event.level, label, event.message.description, all)
        }
    }
}
