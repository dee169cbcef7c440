#!/usr/bin/env bash
# Runs a job in a whole machine that QEMU emulates, whose kernel is Debian's: it has both iptables variants, nf_tables
# and IPVS. Its root is this machine's and cannot be written, but for FOLDER and for /run, /tmp and /var/tmp, which are
# its own. It is emulated also where there is KVM, so that it is the same everywhere: up in half a minute, and five to
# thirty times slower than this machine.
#
#   scripts/qemu.sh FOLDER LIMIT
#
# FOLDER holds `job`, the shell script to be run; `output` and `status` become what it printed and its exit status,
# `console` what the kernel said. It has LIMIT seconds.
set -euo pipefail
folder=$(realpath "$1")
limit=$2
here=$(cd "$(dirname "$0")" && pwd)
PATH="$PATH:/usr/sbin:/sbin"

# The kernel, as it is in Debian's package; installing that would set this machine up for it.
kernel="${SWITCHYARD_QEMU_KERNEL:-$here/../.build/qemu-kernel}"
if [[ ! -e $kernel/initramfs ]]; then
    rm -rf "$kernel"
    mkdir -p "$kernel/tree/bin"
    package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
    (cd "$kernel" && apt-get download -qq "$package" && dpkg-deb -x "$package"_*.deb . && rm "$package"_*.deb)
    version=$(ls "$kernel/lib/modules")
    depmod -b "$kernel" "$version"
    # What is needed to reach the root: the rest is loaded from there.
    {
        for module in virtio_pci 9pnet_virtio 9p; do modprobe -D -d "$kernel" -S "$version" "$module"; done
    } | awk '{print $2}' | awk '!seen[$0]++' | while read -r module; do
        cp "$module" "$kernel/tree/"
        echo "insmod /$(basename "$module")"
    done >"$kernel/tree/modules"
    cp "$(command -v busybox)" "$kernel/tree/bin/busybox"
    cat >"$kernel/tree/init" <<'END'
#!/bin/busybox sh
busybox mkdir -p /proc /root
busybox mount -t proc proc /proc
while read -r command file; do busybox "$command" "$file"; done </modules
for word in $(busybox cat /proc/cmdline); do
    case $word in INIT=*) init=${word#INIT=} ;; esac
done
busybox mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=524288,ro host /root
busybox umount /proc
exec busybox switch_root /root "$init"
END
    chmod +x "$kernel/tree/init"
    (cd "$kernel/tree" && find . | busybox cpio -o -H newc 2>/dev/null) >"$kernel/initramfs.new"
    mv "$kernel/initramfs.new" "$kernel/initramfs"
fi

exec timeout --kill-after=5 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 2048 -smp 2 \
    -nographic -no-reboot -nic none -kernel "$kernel"/boot/vmlinuz-* -initrd "$kernel/initramfs" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
    -virtfs local,path="$folder",mount_tag=folder,security_model=none,multidevs=remap \
    -append "console=ttyS0 quiet panic=-1 INIT=$here/qemu-init.sh FOLDER=$folder KERNEL=$(realpath "$kernel")" \
    >"$folder/console" 2>&1 </dev/null
