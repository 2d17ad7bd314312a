#!/usr/bin/env bash
# What a user of the library has after `cmake --install`: the program finds its library, the man page is
# there, and programs outside this tree build with pkg-config or find_package alone, against the shared and
# the static library: install.sh BUILD SOURCE
# The examples, and the one in perceiver.h, are those programs; they run on a model of a few thousand weights.
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
for file in bin/perceiver include/perceiver.h share/man/man1/perceiver.1 share/bash-completion/completions/perceiver; do
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

for example in branches generate surprise; do
    # shellcheck disable=SC2046
    cc -Wall -Werror "$source/examples/$example.c" -o $example $(pkg-config --cflags --libs perceiver) \
        -Wl,-rpath,"$library"
done
./generate run "a line" >out || fail "generate ends with $?"
[ -s out ] || fail "generate wrote nothing"
./branches run "a line" 3 >out || fail "branches ends with $?"
[ "$(grep -c '^---- [123]$' out)" = 3 ] || fail "branches: expected three: $(head -n 3 out)"
./surprise run text/1.txt >out || fail "surprise ends with $?"
[ "$(grep -c '^ *[0-9.]*  a line of text number 1' out)" = 60 ] || fail "surprise: expected 60 lines: $(head -n 3 out)"
status=0
./generate nowhere >out 2>log || status=$?
[ $status = 66 ] || fail "generate of a run that is not there ends with $status, expected 66"

# The example in the header's head, as it stands there; its run is runs/books.
mkdir runs && cp -r run runs/books
sed -n '/^ \*     #include/,/^ \*     }$/s/^ \*     \{0,1\}//p' "$source/include/perceiver.h" >header.c
grep -q '^int main' header.c || fail "perceiver.h has no example"
# shellcheck disable=SC2046
cc -Wall -Wextra -Werror header.c -o header $(pkg-config --cflags --libs perceiver) -Wl,-rpath,"$library" ||
    fail "the example in perceiver.h does not compile"
./header >out || fail "the example in perceiver.h ends with $?"
[ -s out ] || fail "the example in perceiver.h wrote nothing"
c++ -Wall -Wextra -Werror -pedantic -fsyntax-only -x c++ "$source/include/perceiver.h" || fail "perceiver.h is not C++"

# The static library alone: with what pkg-config says that it needs.
mkdir static && cp "$library/libperceiver.a" static/
# shellcheck disable=SC2046
cc header.c -o header_static $(pkg-config --cflags perceiver) -Lstatic $(pkg-config --static --libs-only-l perceiver) ||
    fail "no program with the static library"
if ldd header_static | grep libperceiver; then fail "that is the shared library"; fi
./header_static >static.out || fail "the static example ends with $?"
cmp -s out static.out || fail "the static library generates another text"

# find_package, both libraries.
mkdir package
cat >package/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(perceiver 0.1 REQUIRED CONFIG)
add_executable(shared ../header.c)
target_link_libraries(shared PRIVATE perceiver::perceiver)
add_executable(static ../header.c)
target_link_libraries(static PRIVATE perceiver::perceiver_static)
END
cmake -G Ninja -S package -B package/build -DCMAKE_PREFIX_PATH="$work/usr" >log 2>&1 && cmake --build package/build >log 2>&1 ||
    fail "find_package(perceiver): $(tail -n 20 log)"
for kind in shared static; do
    package/build/$kind >package.out || fail "the $kind program of find_package ends with $?"
    cmp -s out package.out || fail "the $kind program of find_package generates another text"
done
echo "install: fine"
