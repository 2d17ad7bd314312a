#!/bin/bash
# Runs a command in a clean clone of this project on a machine that has nothing but Debian's base system and git:
#     scripts/fresh.sh SUITE COMMAND...
#     scripts/fresh.sh trixie scripts/demo.sh
# SUITE is bookworm (Debian 12) or trixie (Debian 13). The machine is a folder that the command runs in as its root, with
# mounts of its own, and is removed afterwards. Its base system is kept in ${FRESH_CACHE:-/var/tmp/fresh} for a week;
# packages come from where this machine has its own. What is not committed is not cloned. Needs root and mmdebstrap
# (scripts/setup.sh fresh). Exit status: the command's; 69 when no machine could be made.
set -eu
unavailable() {
    echo "fresh.sh: $1" >&2
    exit 69
}
[ $# -ge 2 ] || { sed -n '2,9s/^# *//p' "$0" >&2; exit 64; }
suite=$1 project=$(cd "$(dirname "$0")/.." && pwd)
shift
[ "$(id -u)" = 0 ] || unavailable "only root can make a machine"
command -v mmdebstrap >/dev/null || unavailable "mmdebstrap is missing; scripts/setup.sh fresh installs it"
cache=${FRESH_CACHE:-/var/tmp/fresh}
mkdir -p "$cache"

# This machine's archives, with the suite in place of its own; on another system Debian's default.
here=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
sources=$cache/$suite.sources
cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep '^deb ' >"$cache/$suite.list" || true
cat /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -v '^#' >"$sources" || true
[ -s "$sources" ] || mv "$cache/$suite.list" "$sources"
sed -i "s/\\b$here\\b/$suite/g" "$sources"

base=$cache/$suite.tar
if [ -z "$(find "$base" -type f -mtime -7 2>/dev/null)" ]; then
    # shellcheck disable=SC2094
    mmdebstrap --quiet --variant=minbase --format=tar --include=ca-certificates,git "$suite" - - <"$sources" >"$base.$$" ||
        { rm -f "$base.$$"; unavailable "mmdebstrap could not make $suite"; }
    mv "$base.$$" "$base"
fi

root=$(mktemp -d "$cache/$suite.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 130' INT TERM HUP
tar xf "$base" -C "$root"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/apt/apt.conf.d/99* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
git clone -q --no-hardlinks "$project" "$root/root/project" || unavailable "$project cannot be cloned"

# The mounts are gone with their name space, and so is every process that the command leaves behind.
status=0
FRESH_ROOT=$root unshare --mount --pid --fork --kill-child --propagation private bash -c '
    mount -t proc proc "$FRESH_ROOT/proc" && mount -t sysfs -o ro sys "$FRESH_ROOT/sys" &&
        mount -t tmpfs tmp "$FRESH_ROOT/tmp" && mount --rbind /dev "$FRESH_ROOT/dev" || exit 69
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        TERM="${TERM:-dumb}" ${CI:+CI="$CI"} ${MINUTES:+MINUTES="$MINUTES"} \
        chroot "$FRESH_ROOT" sh -c "cd /root/project && exec \"\$@\"" fresh "$@"' fresh "$@" </dev/null || status=$?
exit $status
