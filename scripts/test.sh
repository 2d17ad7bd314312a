#!/bin/sh
# Installs what the tests need, builds, and runs all of them: scripts/test.sh [quick]
# quick: the release build's tests alone. PERCEIVER_CUDA=ON builds the CUDA plug-in, too, and tests it where a device is;
# else its kernels are tested in the emulator alone, for nvcc takes minutes (.ci/run runs it).
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh build test

step() { printf '\n== %s\n' "$*"; }

step "style"
scripts/style.sh

step "release build and tests, $(cc --version | head -n 1)"
scripts/build.sh release -DPERCEIVER_TESTS=ON -DPERCEIVER_WERROR=ON "-DPERCEIVER_CUDA=${PERCEIVER_CUDA:-OFF}"
ctest --test-dir build/release --output-on-failure -j"$(nproc)"
[ "${1:-}" = quick ] && exit 0

step "warnings as errors, $(clang --version | head -n 1)"
scripts/build.sh clang -DPERCEIVER_TESTS=ON -DPERCEIVER_WERROR=ON

step "address and undefined-behaviour sanitizers"
scripts/build.sh sanitize -DPERCEIVER_TESTS=ON
ASAN_OPTIONS=handle_segv=2 LSAN_OPTIONS=suppressions=$PWD/tests/leaks.txt:print_suppressions=0 \
    ctest --test-dir build/sanitize --output-on-failure -j"$(nproc)"

step "thread sanitizer"
scripts/build.sh thread -DPERCEIVER_TESTS=ON test_threads
ctest --test-dir build/thread --output-on-failure -R test_threads
