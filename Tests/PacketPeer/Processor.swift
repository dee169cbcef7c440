import Glibc

/// The processor that this thread runs on.
enum Processor {
    /// Keeps the thread from being moved to another one.
    ///
    /// The C functions are looked up by name, as the headers show them to GNU's own dialect only.
    static func stay() throws(PeerFailure) {
        guard let current = dlsym(nil, "sched_getcpu"), let keep = dlsym(nil, "sched_setaffinity") else {
            throw PeerFailure("this C library has no sched_setaffinity")
        }
        let number = unsafeBitCast(current, to: (@convention(c) () -> Int32).self)()
        var mask = [UInt](repeating: 0, count: 64)
        guard number >= 0, Int(number) / UInt.bitWidth < mask.count else { throw PeerFailure(call: "sched_getcpu") }
        mask[Int(number) / UInt.bitWidth] = 1 << UInt(Int(number) % UInt.bitWidth)
        let set = unsafeBitCast(keep, to: (@convention(c) (pid_t, Int, UnsafeRawPointer) -> Int32).self)
        guard set(0, mask.count * MemoryLayout<UInt>.size, mask) == 0 else {
            throw PeerFailure(call: "stay on a processor")
        }
    }
}
