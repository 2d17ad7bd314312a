#!/bin/bash
# What do the tests run? scripts/coverage.sh [ARGUMENT-OF-CTEST]...
# Builds the preset coverage, runs its tests, and prints by folder of src/ how many of the lines and of the branches ran.
# Below it are the files that read what comes from outside, keep checkpoints or sample, and stand under 95 % of lines;
# there are none, or the exit status is 1. The test install is left out, for programs that others link know no counters.
set -eu
cd "$(dirname "$0")/.."
build=build/coverage
least=95
readers='src/(media|token|config|data)/.*|src/base/(safetensors|number|text|fields)'
readers="$readers|src/model/(manifest|config_file|weights)|src/train/(checkpoint|resume)|src/gen/sampler"

command -v gcovr >/dev/null || {
    echo "coverage.sh: gcovr is not there; scripts/setup.sh build test coverage installs it" >&2
    exit 69
}
scripts/build.sh coverage
find $build -name '*.gcda' -delete
failed=0
# Counters are written when a process ends, also where a test lets it write nothing: not a word of that.
GCOV_ERROR_FILE=/dev/null ctest --test-dir $build --output-on-failure -E '^(install|cpu)$' "$@" || failed=1
[ $# != 0 ] || GCOV_ERROR_FILE=/dev/null ctest --test-dir $build -Q -R '^cpu$' || true # counting takes time, at which it looks

# simd.h is another file for each instruction set, which gcovr cannot add up.
gcovr --root . --object-directory $build --filter src/ --exclude src/cpu/simd.h --csv $build/coverage.csv \
    $build/CMakeFiles/*.dir
awk -F , -v least=$least -v readers="^($readers)[.]c\$" '
    function percent(part, all) { return all ? sprintf("%5.1f %%", 100 * part / all) : "      -" }
    function row(name) {
        return sprintf("%-10s %5d %7d %9s %9d %9s", name, files[name], lines[name], percent(run[name], lines[name]),
                       branches[name], percent(taken[name], branches[name]))
    }
    function add(name) {
        files[name]++
        lines[name] += $2; run[name] += $3; branches[name] += $5; taken[name] += $6
    }
    NR > 1 {
        folder = $1
        sub("^src/", "", folder); sub("/.*", "", folder)
        if (!files[folder]) order[++folders] = folder
        add(folder); add("all")
        if ($1 !~ readers) next
        add("readers")
        if (100 * $3 < least * $2) under = under sprintf("%-32s %s of %d lines\n", $1, percent($3, $2), $2)
    }
    END {
        printf "%-10s %5s %7s %9s %9s %9s\n", "src/", "files", "lines", "run", "branches", "taken"
        for (i = 1; i <= folders; i++) print row(order[i])
        print row("all")
        print row("readers")
        print "readers: of outside bytes and settings, checkpoints, sampling; the .c files of them under " least " % of lines:"
        printf "%s", under ? under : "none\n"
        exit under != ""
    }' $build/coverage.csv || failed=1
exit $failed
