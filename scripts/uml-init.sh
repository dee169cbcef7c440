#!/bin/bash
# Process 1 of a user-mode Linux that runs tests; Tests/TestSupport/UserModeLinux starts it. Its root is the host's own
# and can be written, so it writes nowhere but in FOLDER, which the kernel's command line names, and below /run.
# FOLDER holds `job`, the shell script to be run; `output` and `status` become what it printed and its exit status. It has
# LIMIT seconds.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/tmp /run/modules/lib/modules

# The host has no modules of this kernel where modprobe looks; Debian's package keeps them elsewhere.
ln -s "/usr/lib/uml/modules/$(uname -r)" /run/modules/lib/modules/
printf '#!/bin/sh\nexec modprobe -d /run/modules "$@"\n' >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
# ipvsadm asks modprobe itself for what it needs, and the kernel cannot tell that it lacks it.
/run/modprobe ip_vs
# Tables of connections go by the memory, and would be full after a few thousand.
echo 65536 >/proc/sys/net/netfilter/nf_conntrack_max

ip link set lo up

# A program started by a script of ours must not wait for input that never comes.
timeout --kill-after=5 "$LIMIT" bash "$FOLDER/job" >"$FOLDER/output" 2>&1 </dev/null
echo $? >"$FOLDER/status"
halt -f
