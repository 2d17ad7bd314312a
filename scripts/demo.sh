#!/bin/sh
# The whole tour in about five minutes on two cores: scripts/demo.sh [FOLDER]
# Installs what is missing, builds, prepares a text (your own FOLDER of files, or the King James Bible
# from its Debian package), trains a Perceiver AR, evaluates it on text that it has not seen and lets it
# write. MINUTES=10 scripts/demo.sh trains longer.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-}
minutes=${MINUTES:-3}
if [ -n "$folder" ] && [ ! -e "$folder" ]; then
    echo "demo.sh: $folder: no such file or folder" >&2
    exit 66
fi

case $minutes in
'' | *[!0-9.]* | *.*.* | .)
    echo "demo.sh: MINUTES is '$minutes', expected a number like 3 or 0.5" >&2
    exit 64
    ;;
esac

step() { printf '\n== %s\n' "$*"; }

step "1 of 5: tools and build"
if [ -n "$folder" ]; then "$top/scripts/setup.sh" build; else "$top/scripts/setup.sh" build demo; fi
"$top/scripts/build.sh" release perceiver
perceiver=$top/build/release/perceiver

work=$top/runs/demo
number=1
while [ -e "$work" ]; do
    number=$((number + 1))
    work=$top/runs/demo-$number
done
mkdir -p "$work"

step "2 of 5: prepare a text"
if [ -z "$folder" ]; then
    # One file per book: a heading is "Genesis 1" or "1 Samuel 1" on a line of its own.
    folder=$work/text
    mkdir "$folder"
    bible gen1:1-rev22:21 | awk -v folder="$folder" '
        /^([1-3] )?[A-Z][A-Za-z ]* [0-9]+$/ { book = $0; sub(/ [0-9]+$/, "", book); gsub(/ /, "-", book) }
        book != "" { print > (folder "/" book ".txt") }'
    prompt='And it came to pass'
else
    prompt=
fi
"$perceiver" prepare text "$folder" -o "$work/data"

step "3 of 5: train for $minutes minutes"
"$perceiver" train "$work/data" -o "$work/run" --preset demo --minutes "$minutes"

step "4 of 5: evaluate on files that it has not seen"
"$perceiver" eval "$work/run" --split test --tokens 100000

step "5 of 5: write"
for seed in 1 2 3; do
    printf '\n-- sample %s\n' "$seed"
    "$perceiver" generate "$work/run" --prompt "$prompt" --echo --length 300 --seed "$seed"
done

cat <<END

The run is    $work/run
Its report    $work/run/report.html   (open it in a browser)
Next:
  $perceiver train $work/data -o $work/run --resume --minutes $(awk "BEGIN { print $minutes * 4 }")
  $perceiver generate $work/run --prompt 'In the beginning' --temperature 0.6
  $perceiver plan $work/data --context 16384 --channels 256
  $perceiver prepare text YOUR-FOLDER -o data && $perceiver train data -o runs/mine --preset books
END
