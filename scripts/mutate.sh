#!/bin/bash
# Do the tests notice? Changes single lines of copies of the sources, one after the other, and runs the tests that should
# fail then:
#     scripts/mutate.sh [--check] [NUMBER | PART-OF-A-FILE-NAME]...
# The changes are those of tests/mutations.tsv, or the ones of these numbers and files. Exits with 1 when a change
# survives: when none of the tests that it names fails. --check only sees that each text to change is there exactly once.
# JOBS copies are used at once; they are in MUTATE_FOLDER and stay there, so that they are not built anew the next time.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
table=$project/tests/mutations.tsv
scratch=${MUTATE_FOLDER:-/tmp/perceiver-mutate}
jobs=${JOBS:-$(nproc)}
limit=300 # seconds for a test; one that hangs has noticed
count=$(grep -vc '^#' "$table")

# Row NUMBER of the table: sets file, tests, old and new.
read_row() {
    IFS=$'\t' read -r file tests old new < <(grep -v '^#' "$table" | sed -n "$1p") || true
}

# How often a text occurs in another.
occurrences() {
    local rest=${1//"$2"/}
    echo $(((${#1} - ${#rest}) / ${#2}))
}

check() {
    local number status=0 found
    for ((number = 1; number <= count; number++)); do
        read_row "$number"
        found=0
        if [ -n "$new" ] && [ -f "$project/$file" ]; then found=$(occurrences "$(<"$project/$file")" "$old"); fi
        [ "$found" = 1 ] && [ "$old" != "$new" ] && continue
        printf 'mutations.tsv: change %s: occurs %s times in %s, expected once: %s\n' "$number" "$found" "$file" "$old" >&2
        status=1
    done
    return $status
}

build() {
    local target=all
    [ -f "tests/$1.c" ] && target=$1
    ninja -C build "$target" >build.log 2>&1
}

run() { OMP_WAIT_POLICY=passive ctest --test-dir build -R "^$1\$" --no-tests=error --timeout $limit >test.log 2>&1; }

# One change, in the copy whose number is in COPY.
mutate() {
    local number=$1 start=$SECONDS verdict=survived by=- test before
    read_row "$number"
    cd "$scratch/$COPY"
    before=$(<"$file")
    printf '%s\n' "${before/"$old"/"$new"}" >"$file"
    for test in $tests; do
        if ! build "$test"; then verdict='does not build'
        elif ! run "$test"; then verdict=noticed by=$test
        else continue; fi
        break
    done
    printf '%s\n' "$before" >"$file"
    printf '%-14s %3d  %-24s by %-18s %3d s  %s\n' "$verdict" "$number" "$file" "$by" $((SECONDS - start)) "$old" |
        tee -a "$scratch/results"
}

# A copy of the project as it is, built; in the first one the tests that are named must pass.
prepare() {
    local copy=$scratch/$1 first=$((! $1)) test
    shift
    mkdir -p "$copy"
    find "$copy" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
    (cd "$project" && git ls-files -z --cached --others --exclude-standard | tar c --null -T -) | tar xm -C "$copy"
    cd "$copy"
    command -v ccache >/dev/null && set -- "$@" && export CMAKE_C_COMPILER_LAUNCHER=ccache
    cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE= -DCMAKE_C_FLAGS=-O1 -DPERCEIVER_TESTS=ON -DPERCEIVER_CUDA=OFF >build.log
    for test; do
        build "$test" || { cat build.log >&2; exit 70; }
        [ "$first" = 1 ] || continue
        run "$test" && continue
        cat build/Testing/Temporary/LastTest.log >&2
        echo "mutate.sh: $test fails without any change (in $copy)" >&2
        exit 70
    done
}

case ${1:-} in
--check) check; exit ;;
--one) mutate "$2"; exit ;;
esac

check
chosen=() named=()
for ((number = 1; number <= count; number++)); do
    read_row "$number"
    wanted=$#
    for choice; do
        case $choice in
        "$number") wanted=0 ;;
        *[!0-9]*) [[ $file == *"$choice"* ]] && wanted=0 ;;
        esac
    done
    [ "$wanted" = 0 ] || continue
    chosen+=("$number")
    for test in $tests; do [[ " ${named[*]} " == *" $test "* ]] || named+=("$test"); done
done
[ ${#chosen[@]} -gt 0 ] || { echo "mutate.sh: no change is chosen" >&2; exit 64; }

export CCACHE_BASEDIR=$scratch CCACHE_NOHASHDIR=1
for ((copy = 0; copy < jobs; copy++)); do
    echo "== copy $((copy + 1)) of $jobs: building"
    (prepare "$copy" "${named[@]}")
done
: >"$scratch/results"
echo "== ${#chosen[@]} changes"
printf '%s\n' "${chosen[@]}" | MUTATE_FOLDER=$scratch xargs -P "$jobs" --process-slot-var=COPY -n 1 "$0" --one

survivors=$(grep -v '^noticed' "$scratch/results" || true)
echo "== $(grep -c '^noticed' "$scratch/results" || true) of ${#chosen[@]} changes were noticed"
[ -z "$survivors" ] && exit 0
printf '%s\n' "$survivors"
exit 1
