#!/bin/sh
# Source code of 129 projects in Debian, split by project: bench/code_data.sh FOLDER [SUITE]
#
# Makes FOLDER/train, FOLDER/validation and FOLDER/test, in each a folder of every project with its program files:
#
#     bench/code_data.sh projects
#     perceiver prepare text projects --documents folders -o data/code
#
# Takes what the authors released (no patch of Debian's) with apt-get, from the mirror of /etc/apt and with its keys; SUITE is
# that of this system (bookworm, trixie). Writes in FOLDER alone, and needs no root: FOLDER/.fetched has lists of its own.
# Again with the same FOLDER: archives that are there are not fetched again. About 80 MB are fetched.
set -eu
export LC_ALL=C

# Projects, by what most of each is written in.
c='zlib bzip2 lz4 less mawk lua5.4 memcached dash jansson libyaml libevent socat rsync lzip speex libogg libvorbis lame libpng1.6 sox
libsndfile figlet bc vis toybox zopfli civetweb mosquitto mujs libuv1 byacc expat hiredis cjson yajl libsodium flex giflib mruby nng
w3m joe fdupes arp-scan hping3 st tree tinyproxy mini-httpd moria'
cpp='fmtlib tinyxml2 leveldb yaml-cpp rapidjson mosh cmark ledger box2d google-glog gflags snappy libtorrent jsonnet
zeromq3'
python='jinja2 pylint meson python-cryptography python-pip python-xlib python-cffi pyte pyinotify ply'
perl='ack perltidy libmojolicious-perl libmoose-perl libtemplate-perl libjson-pp-perl libdbi-perl libdatetime-perl libanyevent-perl
libio-socket-ssl-perl libxml-simple-perl lintian rsnapshot'
others='fzf golang-github-gin-gonic-gin golang-github-gorilla-mux rust-bat rust-clap rust-serde junit4 libcommons-lang3-java
node-express node-commander node-yargs eslint d3 rubocop ruby-nokogiri ruby-eventmachine autojump'
train="$c $cpp $python $perl $others"
validation='jq mksh screen re2 muparser docker-compose webpy libwww-perl golang-github-boltdb-bolt rust-fd-find libcommons-codec-java
node-handlebars'
test='tmux dnsmasq htop ninja-build diffoscope pyserial libplack-perl golang-github-spf13-cobra rust-ripgrep jsoup node-marked
puma'

fail() { echo "${0##*/}: $1" >&2; exit "$2"; }
[ $# = 1 ] || [ $# = 2 ] || fail "usage: ${0##*/} FOLDER [SUITE]" 64
mkdir -p "$1/.fetched"
top=$(cd "$1" && pwd)
own=$top/.fetched
# shellcheck source=/dev/null
. /etc/os-release
suite=${2:-${VERSION_CODENAME:-}}
[ -n "$suite" ] || fail "which SUITE of Debian? bookworm, trixie" 64
for split in train validation test; do
    [ ! -e "$top/$split" ] || fail "$top/$split: exists already; remove it" 73
done

# ------------------------------------------------------------------ fetching

own_apt() {
    tool=$1
    shift
    "$tool" -q -o Dir::Etc::SourceList="$own/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$own/apt" -o Dir::State::Lists="$own/apt/lists" -o Dir::Cache="$own/apt/cache" \
        -o APT::Sandbox::User="$(id -un)" "$@"
}

# The first mirror that /etc/apt names for Debian itself: its address, and "[signed-by=KEYS]" where that is said.
mirror() {
    cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | awk '
        $1 == "URIs:" && !uri { uri = $2 }
        $1 == "Signed-By:" && !keys && $2 ~ "^/" { keys = $2 }
        $1 == "deb" && !uri { for (i = 2; i <= NF && !uri; i++) if ($i ~ "://") uri = $i }
        END { print keys ? "[signed-by=" keys "] " uri : uri }'
}

fetch() {
    mkdir -p "$own/apt/lists/partial" "$own/apt/cache/archives/partial" "$own/archives"
    echo "deb-src $(mirror) $suite main" >"$own/apt/sources.list"
    own_apt apt-get update >"$own/apt/log" 2>&1 || { cat "$own/apt/log" >&2; fail "no list of Debian's sources" 69; }
    cd "$own/archives"
    # shellcheck disable=SC2086
    own_apt apt-get source --download-only --tar-only --only-source $train $validation $test >>"$own/apt/log" 2>&1 ||
        [ -n "$(ls)" ] || { cat "$own/apt/log" >&2; fail "nothing could be fetched" 69; }
}

# ------------------------------------------------------------------ which files

# Folders that hold what the project did not write, or no program.
folders='.* debian vendor vendored _vendor third_party third-party thirdparty 3rdparty external extern deps node_modules modules
gnulib m4 po locale locales i18n translations doc docs documentation test* t spec specs fixtures data dist min'

list_files() {
    set -f
    hidden=
    for name in $folders; do hidden="$hidden -o -name $name"; done
    # shellcheck disable=SC2086
    find . -mindepth 1 \( -type d \( ${hidden# -o } \) -prune \) -o -type f -size -257k \( -name '*.[ch]' -o -name '*.cc' -o \
        -name '*.cpp' -o -name '*.cxx' -o -name '*.hh' -o -name '*.hpp' -o -name '*.inl' -o -name '*.py' -o -name '*.p[lm]' -o \
        -name '*.go' -o -name '*.rs' -o -name '*.java' -o -name '*.js' -o -name '*.ts' -o -name '*.rb' -o -name '*.lua' -o \
        -name '*.sh' -o -name '*.[yl]' \) ! -name '.*' ! -name '*.min.js' ! -name '*.pb.go' ! -name '*_test.go' -print
    set +f
}

# Those that people wrote: no line of more than 1,000 bytes, fewer than one digit in five bytes, and nothing in the first 20
# lines that says that a program wrote it.
# shellcheck disable=SC2016
written_by_hand() {
    tr '\n' '\0' | xargs -0 -r awk '
        function end() { if (file != "" && good && bytes > 0 && digits * 5 < bytes) print file }
        FNR == 1 { end(); file = FILENAME; good = 1; bytes = digits = 0 }
        length($0) > 1000 || /\000/ { good = 0 }
        FNR <= 20 && tolower($0) ~ /do not edit|(automatically|auto-?) ?generated|generated (by|from|automatically)/ { good = 0 }
        { bytes += length($0) + 1; digits += gsub(/[0-9]/, "") }
        END { end() }'
}

# ------------------------------------------------------------------ projects

archive_of() {
    find "$own/archives" -name "$1_*.orig.tar.*" ! -name '*.asc' -o -name "$1_*.tar.*" ! -name '*.debian.tar.*' \
        ! -name '*.orig-*' ! -name '*.asc' | sort -V | tail -1
}

take() {
    split=$1 project=$2
    archive=$(archive_of "$project")
    [ -n "$archive" ] || { echo "${0##*/}: $project: left out, it could not be fetched; see $own/apt/log" >&2; return 0; }
    rm -rf "$own/unpacked"
    mkdir -p "$own/unpacked" "$top/$split/$project"
    tar -xf "$archive" -C "$own/unpacked" --strip-components 1 --no-same-owner
    cd "$own/unpacked"
    list_files | sort | written_by_hand | tar -cf - --no-recursion -T - | tar -xf - -C "$top/$split/$project"
    cd "$top"
    rm -rf "$own/unpacked"
}

fetch
for split in train validation test; do
    eval "for project in \$$split; do take $split \$project; done"
    find "$top/$split" -type f -printf '%s %P\n' | awk -v name="$split" '
        { sum += $1; sub(/^[0-9]+ /, ""); sub(/\/.*/, ""); projects += !seen[$0]++ }
        END { printf "%-10s %4d projects %6d files %10d bytes\n", name, projects, NR, sum }'
done
