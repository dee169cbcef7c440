// unshare(2), which glibc's headers have only with _GNU_SOURCE: Swift imports them without.
#pragma once

// CLONE_NEWNET of linux/sched.h.
#define SWITCHYARD_NEW_NETWORK_NAMESPACE 0x40000000

extern int unshare(int flags);
