#!/usr/bin/env bash
# What generate writes, and what it begins with: stops, prompts from files of any size, weights of a checkpoint.
# Usage: tests/writing.sh PERCEIVER
set -eu
perceiver=$(realpath "$1") checks=$(realpath "$(dirname "$0")/checks.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export LC_ALL=C OMP_NUM_THREADS=1

# shellcheck source=tests/checks.sh
. "$checks"

# A run that knows one text by heart, and says it again and again.
rhyme=$'KING\nspeaks:\n\nso \303\251 be it.\n'
for i in $(seq 200); do printf '%s' "$rhyme"; done >rhyme.txt
{ cat rhyme.txt && echo; } >again.txt # held out, and so not the same
works prepare text --train rhyme.txt --validation again.txt --test again.txt -o data
works train data -o run --context 32 --latents 32 --min-crop 1 --channels 48 --heads 2 --layers 1 --batch 8 --steps 200 \
    --lr 0.005 --warmup 10 --save-every 50 --keep 3 --eval-every 200

generate() { works generate run --temperature 0 --length 60 "$@"; }
writes() { printf '%b' "$1" | cmp -s - out || fail "expected '$1'"; } # writes TEXT: as printf %b

# ---------------------------------------------------------------- stops

begin "stops are any bytes, and several are several"
generate --prompt $'\nKING'
writes '\nspeaks:\n\nso \303\251 be it.\nKING\nspeaks:\n\nso \303\251 be it.\nKING\nspeak'
stops_at() { # until EXPECTED [OPTION...]
    local expected=$1
    shift
    generate --prompt $'\nKING' "$@"
    writes "$expected"
    has err 'stop text'
}
stops_at '\nspeaks:' --stop $'\n\n'
stops_at '\nspeaks:\n\nso \303\251 be it.' --stop $'\nKING\nsp'
stops_at '\nspeaks:\n\nso \303\251 be it.' --stop $'KINK\nzzz' --stop $'\nK'
stops_at '\nspeaks:\n\nso ' --stop zzz --stop $'\303\251' --stop $'KING\nzzz'
stops_at '\nspeaks:\n\nso ' --stop $'\251'          # half a character is not written
stops_at '\nsp' --stop $'eaks:\n\nso \303\251 be it.\nKI' --stop 'eaks:KING' # what seemed to begin the second is of the first
ends $usage "$perceiver" generate run --stop ""
has err '^perceiver generate: --stop: '
finish
