import Testing

/// The tests that use a kernel, one after the other: they wait for processes and for locks, which on few cores would
/// keep each other waiting beyond their bounds.
@Suite("Kernel", .serialized)
enum KernelTests {}
