#!/bin/bash
# Runs every command of the ```sh blocks in README.md and docs/*.md: docs.sh PERCEIVER SOURCE
# Commands are run as they stand, in a folder with small texts under the names that the docs use; only
# sizes and durations of training are cut down, by flags put behind the reader's own.
set -eu
program=$(realpath "$1")
source=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive # two busy cores must not wait for each other

# About 60 KB of sentences in eight files, the same every time.
mkdir books
awk 'BEGIN {
    srand(7); split("the a one no some that every", d); split("dog old house river captain word lamp", n)
    split("saw kept lost heard followed knew", v); split("quietly again at last in the rain with care", a)
    for (f = 1; f <= 8; f++) for (s = 1; s <= 170; s++)
        printf "%s %s %s %s %s %s.%s", d[1 + int(rand() * 7)], n[2 + int(rand() * 6)], v[1 + int(rand() * 6)],
            d[1 + int(rand() * 7)], n[2 + int(rand() * 6)], a[1 + int(rand() * 2)], s % 5 ? " " : "\n" > ("books/" f ".txt") }'
cp books/1.txt letter.txt
tr -s ' ' '\n' <books/2.txt | sort -u >names.txt
awk '{ printf "{\"text\": \"%s\"}\n", $0 }' books/3.txt >chats.jsonl
for i in 1 2 3 4; do
    mkdir -p projects/$i
    for name in part.c part.h notes; do sed -n "$((4 * i))p; s/^/$i $name /p" books/5.txt >projects/$i/$name; done
done
sed 's/^/---\n/' books/4.txt | gzip >log.gz

small="--context 96 --latents 32 --channels 16 --heads 2 --cross-heads 2 --layers 1 --batch 1 --total-batch 32 --minutes 0 --steps 4 --eval-tokens 64 --warmup 1"
perceiver() {
    case $1 in
    train)
        case " $* " in
        *"--preset shapes "* | *"--preset sprites "* | *"--preset films "*) "$program" "$@" --latents 8 --channels 16 --heads 2 --layers 1 --batch 4 --minutes 0 --steps 4 ;;
        *" --resume "*) "$program" "$@" --steps 6 --minutes 0 ;;
        *) "$program" "$@" $small ;;
        esac ;;
    plan | bench)
        case " $* " in
        *" --preset shapes "* | *" --preset sprites "* | *" --preset films "*) "$program" "$@" ;;
        *" --arch "*) "$program" "$@" --context 96 --channels 16 --heads 2 --layers 1 ;;
        *) "$program" "$@" --context 96 --latents 32 --channels 16 --heads 2 --cross-heads 2 --layers 1 ;;
        esac ;;
    eval)
        case " $* " in
        *" --examples 1"*) "$program" "$@" --examples 20 ;;
        *" --sweep "*) "$program" "$@" --values 4,16 --tokens 200 ;;
        *) "$program" "$@" --context 64 --latents 16 --tokens 500 --stride 0 ;;
        esac ;;
    generate) "$program" "$@" --length 20 ;;
    *) "$program" "$@" ;;
    esac
}

# The lines of all sh blocks of a file, continued lines joined.
commands_of() {
    awk '/^```sh$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$1" | sed -e ':a' -e '/\\$/N; s/\\\n//; ta'
}

count=0
for page in "$source"/README.md "$source"/docs/*.md; do
    rm -rf data runs
    # pages below README.md use the data set and run that the README's first commands make
    "$program" prepare text books -o data/books 2>/dev/null
    perceiver train data/books -o runs/books 2>/dev/null >/dev/null
    while IFS= read -r line; do
        [ -n "$line" ] || continue
        case $line in
        "perceiver prepare"*"data/books") rm -rf data/books ;;
        "perceiver train"*"-o runs/books "* | "perceiver train"*"-o runs/books") [[ $line == *--resume* ]] || rm -rf runs/books ;;
        esac
        status=0
        eval "$line" >out 2>&1 </dev/null || status=$?
        if [ "$status" != 0 ]; then
            echo "docs: ${page##*/}: this command failed with status $status: $line" >&2
            cat out >&2
            exit 1
        fi
        count=$((count + 1))
    done < <(commands_of "$page")
done
[ "$count" -gt 10 ] || { echo "docs: only $count commands found" >&2; exit 1; }
echo "docs: $count commands run"
