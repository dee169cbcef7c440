#!/usr/bin/env bash
# Runs what takes long: ten thousand random histories of each kind (in models of the kernel, and of nftables mode in the
# kernel itself), a hundred thousand mutated saves through the parser and the comparison, and changes from mode to mode
# in a machine that has all of them. Keeps what the run said in docs/soak.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

export SWITCHYARD_HISTORIES="${SWITCHYARD_HISTORIES:-10000}"
export SWITCHYARD_FUZZ="${SWITCHYARD_FUZZ:-100000}"
export SWITCHYARD_QEMU=1

swift build --build-tests
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
swift test --skip-build --filter 'HistoryTests|HostileSaveTests|QEMUTests' 2>&1 | tee "$log" || status=$?
{
    echo "make soak, $(date -u +%F), $(nproc) processors, kernel $(uname -r), $SWITCHYARD_HISTORIES histories, $SWITCHYARD_FUZZ mutated saves"
    grep -E '^histories[^:]*:|^mode change |^[✔✘] (Test|Suite) ' "$log" || echo "no test ran"
} >docs/soak.txt
exit "$status"
