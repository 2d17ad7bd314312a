#!/usr/bin/env bash
# What a user of the library has after `cmake --install`: the program finds its library, the man page is
# there, and a C program outside this tree builds with pkg-config alone: install.sh BUILD SOURCE
# The examples are those programs; they are run on a model of a few thousand weights.
set -eu
build=$(realpath "$1")
source=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive LC_ALL=C

fail() {
    echo "install: $1" >&2
    exit 1
}

cmake --install "$build" --prefix "$work/usr" >log
for file in bin/perceiver include/perceiver.h share/man/man1/perceiver.1; do
    [ -s "usr/$file" ] || fail "$file is not there: $(cat log)"
done
grep -q '^\.SH SYNOPSIS' usr/share/man/man1/perceiver.1 || fail "the man page has no SYNOPSIS"
pc=$(find usr -name perceiver.pc)
[ -n "$pc" ] || fail "perceiver.pc is not there"
export PKG_CONFIG_PATH=$work/$(dirname "$pc")
library=$(pkg-config --variable=libdir perceiver)
[ -e "$library/libperceiver.so" ] && [ -e "$library/libperceiver.a" ] || fail "no library in $library"

mkdir text
for i in 1 2 3; do yes "a line of text number $i, and the next" | head -n 60 >text/$i.txt; done
usr/bin/perceiver prepare text text -o data 2>log
usr/bin/perceiver train data -o run --preset tiny --steps 3 --eval-tokens 64 --threads 1 2>log || fail "training: $(cat log)"

for example in generate surprise; do
    # shellcheck disable=SC2046
    cc -Wall -Werror "$source/examples/$example.c" -o $example $(pkg-config --cflags --libs perceiver) \
        -Wl,-rpath,"$library"
done
./generate run "a line" >out || fail "generate ends with $?"
[ -s out ] || fail "generate wrote nothing"
./surprise run text/1.txt >out || fail "surprise ends with $?"
[ "$(grep -c '^ *[0-9.]*  a line of text number 1' out)" = 60 ] || fail "surprise: expected 60 lines: $(head -n 3 out)"
status=0
./generate nowhere >out 2>log || status=$?
[ $status = 66 ] || fail "generate of a run that is not there ends with $status, expected 66"
echo "install: fine"
