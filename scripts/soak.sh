#!/usr/bin/env bash
# Runs the tests that take long, whose function or suite has "soak" in its name, and no others. Keeps what they said.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

export SWITCHYARD_SOAK=1
export SWITCHYARD_HISTORIES="${SWITCHYARD_HISTORIES:-10000}"

swift build --build-tests
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
swift test --skip-build --filter '[Ss]oak' 2>&1 | tee "$log" || status=$?
{
    echo "make soak, $(date -u +%F), $(nproc) processors, kernel $(uname -r), $SWITCHYARD_HISTORIES histories"
    grep -E '^\S+ (Test|Suite) ' "$log" || echo "no test ran"
} >docs/soak.txt
exit "$status"
