#!/usr/bin/env bash
# Measures rendering, nf_tables, IPVS and the daemon, in a release build. Arguments go to the program that they name
# first, such as `daemon latency nft 1000 200`; without any, all is measured.
set -euo pipefail
cd "$(dirname "$0")/.."

for product in render-bench nftables-bench ipvs-bench daemon-bench switchyard test-api-server netlink-peer; do
    swift build -c release --product "$product"
done
programs="$(swift build -c release --show-bin-path)"

case "${1:-}" in
render | nftables | ipvs | daemon)
    program="$1-bench"
    shift
    exec "$programs/$program" "$@"
    ;;
"")
    "$programs/render-bench"
    echo
    "$programs/nftables-bench"
    echo
    "$programs/ipvs-bench"
    echo
    "$programs/daemon-bench"
    ;;
*)
    echo "say render, nftables, ipvs or daemon and what to measure, or nothing" >&2
    exit 2
    ;;
esac
