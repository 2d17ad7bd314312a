#!/bin/sh
# Builds a preset: scripts/build.sh [release|debug|sanitize|clang]. Quiet unless something is wrong.
set -eu
cd "$(dirname "$0")/.."
preset=${1:-release}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset "$preset" && cmake --build --preset "$preset"; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
