#!/usr/bin/env bash
# Builds once and runs all tests. With CI=true a skipped test fails the run, unless its reason begins with "soak" (it
# has a target of its own), "oracle" (it needs files from outside the project) or "is a part of" (another test runs it).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

swift build --build-tests

log=$(mktemp)
trap 'rm -f "$log"' EXIT
swift test --skip-build "$@" 2>&1 | tee "$log"

if [[ ${CI:-} == true ]]; then
    # A line of Swift Testing reads: ➜ Test "name" skipped: "reason"
    if grep -E '^\S+ (Test|Suite) .* skipped(: |\.|$)' "$log" | grep -vE 'skipped: "(soak|oracle|is a part of)'; then
        echo "The tests above were skipped, and in CI none may be." >&2
        exit 1
    fi
fi
