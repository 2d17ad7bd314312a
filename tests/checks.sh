# What the tests of the program share: run a command, look at what it left, and end with the command, its exit
# status and its output at the first check that does not hold. Sourced; the work happens in a folder of its own,
# output in the files out and err.

usage=64 data=65 noinput=66 numeric=70 memory=71 cantcreate=73 io=74 interrupted=75 config=78 # exit statuses

group="" last="" status=0
pid="" # of what runs in the background
leave() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    rm -rf "$work"
}
enter() { # enter PERCEIVER: an empty folder, which goes when the script ends
    perceiver=$(realpath "$1") work=$(mktemp -d)
    trap leave EXIT
    cd "$work"
    export LC_ALL=C OMP_WAIT_POLICY=passive # two busy cores must not wait for each other
}
under_strace() { # of the sanitizers, what does not work there
    export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
}

begin() { # begin TITLE: of the checks that follow
    finish
    group=$1
}
finish() { [ -z "$group" ] || echo "ok: $group"; }
skip() { echo "SKIP: $group: $1"; }

fail() {
    {
        echo "FAILED: $group: $1"
        echo "  command: $last"
        echo "  status:  $status"
        for file in out err; do
            echo "  $file:"
            tail -n 12 $file | cut -c 1-300 | sed 's/^/    | /'
        done
    } >&2
    exit 1
}

run() { # run COMMAND...: exit status to $status
    last="$*"
    status=0
    { "$@" >out 2>err </dev/null; } 2>/dev/null || status=$? # the shell itself would report a kill
}
ends() { # ends STATUS COMMAND...; STATUS may be a choice, like "73|74"
    local expected=$1
    shift
    run "$@"
    [[ $status =~ ^($expected)$ ]] || fail "expected exit status $expected"
}
works() { ends 0 "$perceiver" "$@"; } # works ARGUMENT... of the program
fails() { # fails STATUS PATTERN ARGUMENT...: the last line of err is the program's one-line error
    local expected=$1 pattern=$2 name="perceiver"
    shift 2
    ends "$expected" "$perceiver" "$@"
    case ${1:-} in prepare | plan | train | eval | generate | score | attend | predict | compare | info | bench) name="perceiver $1" ;; esac
    tail -n 1 err | grep -q "^$name: " || fail "expected an error line that begins with '$name: '"
    tail -n 1 err | grep -Eq -- "$pattern" || fail "expected an error line that has '$pattern'"
}

check() { # check MESSAGE COMMAND...: COMMAND must succeed
    local message=$1
    shift
    "$@" || fail "$message"
}
equal() { [ "$2" = "$3" ] || fail "$1: $2, expected $3"; }
close() { # close MESSAGE A B TOLERANCE
    awk -v a="$2" -v b="$3" -v t="$4" 'BEGIN { exit !(a - b <= t && b - a <= t) }' ||
        fail "$1: $2, expected $3 within $4"
}
lacks() { [ ! -e "$1" ] || fail "$1 is there and should not be"; }
has() { grep -Eq -- "$2" "$1" || fail "expected $1 to have '$2'"; }
no_leftovers() { # no_leftovers [FOLDER]
    [ -z "$(find "${1:-.}" -name '*.tmp-*')" ] || fail "left behind: $(find "${1:-.}" -name '*.tmp-*')"
}
can_limit() { # can_limit KIB: does the program run with so many addresses? With the sanitizers it does not.
    bash -c 'ulimit -v "$0" && exec "$@"' "$1" "$perceiver" --version >names 2>&1
}
bytes() { wc -c <"$1" | tr -d ' '; }

# number KEY FILE: the first value of "KEY" in a JSON file.
number() { grep -o "\"$1\": [-+.e0-9]*" "$2" | head -n 1 | sed 's/.*: //'; }

json() { # json FILE: valid, and without the numbers that JSON does not have
    ! grep -Eqwi 'nan|inf|infinity' "$1" || fail "$1 holds a number that JSON does not have"
    if command -v python3 >json.log 2>&1; then
        python3 -m json.tool "$1" >json.log 2>&1 || fail "$1 is not valid JSON: $(tail -n 1 json.log)"
    else
        head -c 1 "$1" | grep -q '[[{]' || fail "$1 is not JSON"
    fi
}

# A toy language, the same for the same seed: sentences of article, noun, verb, article, noun; one noun has a
# character of two bytes.
sentences() { # sentences SEED BYTES
    awk -v seed="$1" -v bytes="$2" '
        function draw(n) { x = (x * 16807) % 2147483647; return int(x / 2147483647 * n) + 1 }
        BEGIN {
            x = seed * 7919
            split("a the one every", article)
            split("cat dog caf\303\251 boat river king", noun)
            split("sees likes finds makes", verb)
            while (size < bytes) {
                line = article[draw(4)] " " noun[draw(6)] " " verb[draw(4)] " " article[draw(4)] " " noun[draw(6)] "."
                size += length(line) + 1
                print line
            }
        }'
}

# text/1.txt to text/8.txt, 60 KB of it.
make_texts() {
    mkdir text
    for i in 1 2 3 4 5 6 7 8; do sentences $i 7500 >text/$i.txt; done
}
