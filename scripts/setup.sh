#!/usr/bin/env bash
# Installs the programs that the tests and the demo call, and the C library that is built against. Does nothing where they are all there.
set -euo pipefail

# program or file:Debian package
needed=(
    ip:iproute2
    iptables-legacy-restore:iptables
    iptables-nft-restore:iptables
    nft:nftables
    ipset:ipset
    conntrack:conntrack
    nfacct:nfacct
    ipvsadm:ipvsadm
    linux.uml:user-mode-linux
    modprobe:kmod
    taskset:util-linux
    openssl:openssl
    /usr/include/libmnl/libmnl.h:libmnl-dev
    /usr/include/libnftnl/rule.h:libnftnl-dev
)

# What only the long tests need.
if [[ ${1:-} == soak ]]; then
    needed+=(qemu-system-x86_64:qemu-system-x86 busybox:busybox-static)
fi

# The daemon's tools lie in sbin, which is not on every user's path.
PATH="$PATH:/usr/sbin:/sbin"

missing=()
for entry in "${needed[@]}"; do
    [[ -e ${entry%%:*} && $entry == /* ]] || command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
done

if ((${#missing[@]} > 0)); then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
        echo "Missing, and only root on Debian can have them installed here: ${missing[*]}." >&2
        exit 1
    fi
    echo "Installing ${missing[*]}."
    export DEBIAN_FRONTEND=noninteractive
    # The package lists of a fresh image are often empty or old.
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        apt-get update -qq
        apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
    }
fi

version=$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+).*/\1/p' | head -n 1)
if [[ -z $version ]] || ! printf '%s\n' 6.3 "$version" | sort -V -C; then
    echo "Swift 6.3 or newer is needed as 'swift' on the path; found ${version:-none}." >&2
    exit 1
fi
