#!/bin/sh
# Builds a preset: scripts/build.sh [PRESET [-DNAME=VALUE | TARGET]...]
#     scripts/build.sh                                   all that is installed
#     scripts/build.sh release -DPERCEIVER_TESTS=ON      and the tests
#     scripts/build.sh release perceiver                 the program alone
# Presets: release, debug, sanitize, thread, coverage, clang, fuzz. Quiet unless something is wrong.
set -eu
cd "$(dirname "$0")/.."
preset=${1:-release}
[ $# = 0 ] || shift
settings= targets=
for word in "$@"; do
    case $word in
    -D*) settings="$settings $word" ;;
    *) targets="$targets --target $word" ;;
    esac
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { cmake --preset "$preset" $settings && cmake --build --preset "$preset" $targets; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
