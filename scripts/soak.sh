#!/usr/bin/env bash
# Runs what takes long: ten thousand random histories. Keeps what the run said in docs/soak.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

export SWITCHYARD_HISTORIES="${SWITCHYARD_HISTORIES:-10000}"

swift build --build-tests
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
swift test --skip-build --filter HistoryTests 2>&1 | tee "$log" || status=$?
{
    echo "make soak, $(date -u +%F), $(nproc) processors, kernel $(uname -r), $SWITCHYARD_HISTORIES histories"
    grep -E '^histories:|^[✔✘] (Test|Suite) ' "$log" || echo "no test ran"
} >docs/soak.txt
exit "$status"
