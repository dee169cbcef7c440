#!/bin/bash
# Process 1 of a machine that scripts/qemu.sh starts, whose root is its host's and cannot be written. FOLDER, which the
# kernel's command line names, is its host's too and can be; it holds the job.
# shellcheck disable=SC2154
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for folder in /run /tmp /var/tmp; do mount -t tmpfs tmpfs "$folder"; done
for word in $(cat /proc/cmdline); do
    case $word in FOLDER=* | KERNEL=*) declare "$word" ;; esac
done
# The folders that led there may be hidden by now.
mkdir -p /run/tmp "$FOLDER"
mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=524288 folder "$FOLDER"

# The host has no modules of this kernel where modprobe looks.
printf '#!/bin/sh\nexec modprobe -d "%s" "$@"\n' "$KERNEL" >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
# ipvsadm asks modprobe itself for what it needs.
/run/modprobe ip_vs
# Tables of connections go by the memory, and would be full after a few thousand.
echo 65536 >/proc/sys/net/netfilter/nf_conntrack_max

ip link set lo up

bash "$FOLDER/job" >"$FOLDER/output" 2>&1 </dev/null
echo $? >"$FOLDER/status"
sync
echo o >/proc/sysrq-trigger
sleep 60
