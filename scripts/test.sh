#!/usr/bin/env bash
# Builds once and runs all tests. With CI=true a skipped test fails the run, unless its reason begins with "soak" (it
# has a target of its own), "oracle" (it needs files from outside the project) or "is a part of" (another test runs it).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

swift build --build-tests

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# A test that waits for a command blocks one of the few threads that all tests share. So those that promise something
# within a time run apart from those that block or keep every core busy, and those of whole daemons, of writers that
# never rest and of whole machines one after the other.
timed='SyncLoopTests|KubernetesAPITests|EndpointWatcherTests'
daemons='SwitchyardTests\.(APIServer|ClusterCommand|Daemon|UDP|KilledCommit|KernelHistory|NFTablesFault|UserModeLinuxTests)'
# Nothing takes nearly as long; a test that hangs is to end.
run() { timeout 3000 swift test --skip-build "$@" 2>&1 | tee -a "$log"; }
if (($# > 0)); then
    run "$@"
else
    run --filter "$timed"
    run --no-parallel --filter "$daemons"
    run --skip "$timed|$daemons"
fi

if [[ ${CI:-} == true ]]; then
    # A line of Swift Testing reads: ➜ Test "name" skipped: "reason"
    if grep -E '^\S+ (Test|Suite) .* skipped(: |\.|$)' "$log" | grep -vE 'skipped: "(soak|oracle|is a part of)'; then
        echo "The tests above were skipped, and in CI none may be." >&2
        exit 1
    fi
fi
