#!/usr/bin/env bash
# Measures rendering in a release build; arguments go to the benchmark.
set -euo pipefail
cd "$(dirname "$0")/.."

swift build -c release --product render-bench
exec "$(swift build -c release --show-bin-path)/render-bench" "$@"
