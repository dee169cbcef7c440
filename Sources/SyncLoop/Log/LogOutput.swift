import Foundation
import Logging

/// The file that the log goes to, and what it has not taken. Belongs to the writing thread.
struct LogOutput: ~Copyable {
    private let descriptor: Int32
    private let format: LogFormat
    private let buffer: LogBuffer
    /// Lines that were lost since it was last told, and why.
    private var lostCount = 0
    private var lostReason = ""
    /// True if a line went out in part: the next one must not continue it.
    private var isInsideLine = false

    /// Takes a descriptor over; a negative one takes no line.
    init(descriptor: Int32, format: LogFormat, buffer: LogBuffer) {
        self.descriptor = descriptor
        self.format = format
        self.buffer = buffer
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Writes lines until the buffer ends. Blocks.
    mutating func writeAll() {
        // A reader that has gone away is told by EPIPE; the signal would end the daemon.
        var signals = sigset_t()
        sigfillset(&signals)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        while let batch = buffer.take() {
            for line in batch.lines { put(line) }
            if batch.refusedCount > 0 {
                lostCount += batch.refusedCount
                lostReason = "too many lines were waiting to be written"
                tellLoss()
            }
            for waiter in batch.waiters { waiter.signal() }
        }
    }

    private mutating func put(_ line: [UInt8]) {
        if lostCount > 0 { tellLoss() }
        let code = lostCount > 0 ? EAGAIN : write(line)
        guard code != 0 else { return }
        // Where telling of it failed, that has left the reason.
        if lostCount == 0 { lostReason = String(cString: strerror(code)) }
        lostCount += 1
        buffer.noteDropped(1)
    }

    private mutating func tellLoss() {
        let line = format.line(
            at: Date(), .warning, "log", "lines of the log were lost",
            ["count": .stringConvertible(lostCount), "reason": .string(lostReason)])
        if write(line) == 0 { lostCount = 0 }
    }

    /// Writes a line; the error's number if that failed.
    private mutating func write(_ line: [UInt8]) -> Int32 {
        let bytes = isInsideLine ? [UInt8(ascii: "\n")] + line : line
        var written = 0
        while written < bytes.count {
            let (count, code) = bytes[written...].withUnsafeBytes { rest in
                let count = Foundation.write(descriptor, rest.baseAddress, rest.count)
                return (count, count < 0 ? errno : 0)
            }
            switch code {
            case 0: written += count
            case EINTR: break
            case EAGAIN:
                // Somebody has made the file non-blocking for all who share it.
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, -1)
            default:
                if written > 0 { isInsideLine = true }
                return code
            }
        }
        isInsideLine = false
        return 0
    }
}
