#!/usr/bin/env bash
# Checks the form of what is committed: Swift format, shell syntax, no path of the machine that it was written on.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0

swift format lint -r --strict Package.swift Sources Tests Benchmarks || failed=1

for script in scripts/*.sh .ci/run; do
    bash -n "$script" || failed=1
done
if command -v shellcheck >/dev/null; then
    shellcheck scripts/*.sh .ci/run || failed=1
fi

# The brackets keep the pattern from finding itself. New files count before they are added.
pattern='(^|[^A-Za-z0-9_.~-])/(wor[k]|roo[t]|hom[e]|tm[p])/'
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    if git ls-files -z --cached --others --exclude-standard | xargs -0 grep -nIE -s "$pattern"; then
        echo "A path of one machine stands in the lines above." >&2
        failed=1
    fi
fi

exit "$failed"
