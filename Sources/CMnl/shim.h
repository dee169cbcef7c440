// libmnl, and the kernel headers whose messages go over its sockets.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip_vs.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/ipset/ip_set_bitmap.h>
#include <linux/netfilter/ipset/ip_set_hash.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>

// unshare(2), which Swift's Glibc does not have.
extern int unshare(int flags);

// A network namespace of its own for the calling thread. Returns -1 and sets errno where that is refused.
static inline int switchyard_unshare_network(void) { return unshare(CLONE_NEWNET); }
