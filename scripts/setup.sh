#!/bin/sh
# Installs the Debian packages that are missing. scripts/setup.sh [build|demo|test|coverage|fresh|arm64]...
# Works as root or through sudo; says what it installs; does nothing when all is there.
set -eu

build="cmake ninja-build gcc libc6-dev libdnnl-dev libjansson-dev libxxhash-dev libpng-dev libturbojpeg0-dev libsndfile1-dev libmpg123-dev libflac-dev libsoxr-dev libsentencepiece-dev g++ librandom123-dev libjs-chart.js scdoc"
demo="bible-kjv"
tests="libcmocka-dev clang libomp-dev strace pkgconf"
coverage="gcovr" # scripts/coverage.sh
fresh="mmdebstrap" # scripts/fresh.sh
arm64="crossbuild-essential-arm64 qemu-user-static"

wanted=$build
for set in "$@"; do
    case $set in
    build) ;;
    demo) wanted="$wanted $demo" ;;
    test) wanted="$wanted $tests" ;;
    coverage) wanted="$wanted $coverage" ;;
    fresh) wanted="$wanted $fresh" ;;
    arm64) wanted="$wanted $arm64" ;;
    *)
        echo "setup.sh: '$set' is not one of build, demo, test, coverage, fresh, arm64" >&2
        exit 64
        ;;
    esac
done

missing=
for package in $wanted; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup.sh: these packages are missing and sudo is not there to install them:$missing" >&2
        exit 73
    fi
    as_root=sudo
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
