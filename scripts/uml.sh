#!/usr/bin/env bash
# Runs the suites that a filter names inside user-mode Linux, and prints what they print.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

if [[ -z ${1:-} ]]; then
    echo "Name the suites: make uml FILTER=IPVSReadBackTests" >&2
    exit 2
fi
swift build --build-tests
SWITCHYARD_UML="$1" swift test --skip-build --filter 'SwitchyardTests\.UserModeLinuxTests/byHand'
