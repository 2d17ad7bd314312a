#!/bin/sh
# Builds library, program and tests for 64-bit ARM and runs the unit tests in an emulator: scripts/arm64.sh
# The libraries come from this machine's own Debian archive into build/arm64-sysroot; nothing but the compiler and the
# emulator (scripts/setup.sh arm64) is installed.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh build arm64

libraries="libc6-dev libstdc++6 libdnnl-dev libjansson-dev libxxhash-dev libpng-dev libturbojpeg0-dev libsndfile1-dev libsoxr-dev libsentencepiece-dev librandom123-dev libjs-chart.js libcmocka-dev"
root=$PWD/build/arm64-sysroot
wanted="$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release) $libraries"

# apt for another architecture, with a state of its own
arm64_apt() {
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
        -o Dir::State="$root/apt" -o Dir::State::status=/dev/null -o Dir::Cache="$root/apt" "$@"
}

unpack_libraries() {
    rm -rf "$root"
    mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial"
    arm64_apt update
    # shellcheck disable=SC2086
    arm64_apt install -y --no-install-recommends --download-only $libraries >/dev/null
    for package in "$root"/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
    rm -r "$root/apt"
    if [ ! -L "$root/lib" ]; then # one folder of libraries, wherever the release puts them
        [ ! -d "$root/lib" ] || cp -a "$root/lib/." "$root/usr/lib/"
        rm -rf "$root/lib"
        ln -s usr/lib "$root/lib"
    fi
    find "$root" -type l -lname '/*' | while read -r link; do ln -sfn "$root$(readlink "$link")" "$link"; done
    echo "$wanted" >"$root/packages"
}

[ "$(cat "$root/packages" 2>/dev/null)" = "$wanted" ] || unpack_libraries
cmake -G Ninja -B build/arm64 --toolchain cmake/aarch64.cmake -DAARCH64_SYSROOT="$root" -DCMAKE_BUILD_TYPE=Release \
    -DPERCEIVER_TESTS=ON >/dev/null
cmake --build build/arm64 >/dev/null

# The emulator makes threads that wait by spinning dear. Tests of the program itself start it without the emulator;
# those left out otherwise take minutes here and do nothing that depends on the processor.
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1
ctest --test-dir build/arm64 --output-on-failure -j"$(nproc)" -R '^test_|^corpus_' -E 'timeline|windows|safetensors|audio|train|memory|threads|_cuda$|_emulated$'
