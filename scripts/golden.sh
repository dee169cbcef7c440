#!/usr/bin/env bash
# Records the files under golden/ whose format is our own: what is said of faulty inputs, the text of shared maps,
# and walks as explain draws them. The tests that own them write what they got and fail, so that nobody records without
# looking at the difference.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${CI:-} == true ]]; then
    echo "CI compares and never records." >&2
    exit 1
fi
swift build --build-tests
status=0
RECORD_GOLDEN=1 swift test --skip-build --filter 'FaultGoldenTests|TextGoldenTests|ExplainCommandTests' || status=$?
git status --short golden
exit "$status"
