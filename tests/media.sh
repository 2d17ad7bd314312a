#!/usr/bin/env bash
# Pictures, music, sound and pieces of words as the program's user meets them. Usage: tests/media.sh PERCEIVER SOURCE
set -eu
perceiver=$(realpath "$1") source=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export LC_ALL=C OMP_WAIT_POLICY=passive

# shellcheck source=tests/checks.sh
. "$source/tests/checks.sh"

fails() { # fails STATUS PATTERN ARGUMENT...: one line on stderr that has PATTERN
    local pattern=$2
    last="" ends "$1" "$perceiver" "${@:3}"
    has err "$pattern"
    equal "lines on stderr" "$(wc -l <err)" 1
}

make_texts

begin "names of tokenizers"
fails $usage "tokenizer 'gpt2'.*bytes, bytes-262, sentencepiece, image, midi, .*FILE.model" \
    prepare text text -o set --tokenizer gpt2
fails $usage "tokenizer 'opus'.*mulaw, rvq" prepare audio text -o set --codec opus

finish
