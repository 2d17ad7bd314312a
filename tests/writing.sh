#!/usr/bin/env bash
# What generate writes, and what it begins with: stops, prompts from files of any size, weights of a checkpoint.
# Usage: tests/writing.sh PERCEIVER
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"
export OMP_NUM_THREADS=1

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

# ---------------------------------------------------------------- prompts

begin "a prompt is a text, a file or standard input, all alike"
tail -c 101 rhyme.txt | head -c 100 >prompt # without the line end, which a shell would drop
generate --prompt "$(cat prompt)" --echo
cp out expected
begins() { cmp -s -n "$(bytes "$1")" "$1" out || fail "the prompt is not in front"; } # begins FILE
begins prompt
generate --prompt-file prompt --echo
check "a file" cmp -s out expected
last="generate --prompt-file -"
"$perceiver" generate run --temperature 0 --length 60 --prompt-file - --echo <prompt >out 2>err
check "standard input" cmp -s out expected
cat prompt | "$perceiver" generate run --temperature 0 --length 60 --prompt-file - --echo >out 2>err
check "a pipe" cmp -s out expected

begin "of a long prompt the end counts, and no more of it is held"
for i in $(seq 1500); do cat rhyme.txt; done >long # 8 MB, many pieces
tail -c 20000 long >short
generate --prompt-file short
cp out expected
generate --prompt-file long
check "the end of a long prompt" cmp -s out expected
has err "^prompt $(($(bytes long) + 1)) tokens"
if can_limit 400000; then # 400 MB of addresses: its ids alone would take as many
    truncate -s 100M huge
    ends 0 bash -c 'ulimit -v 400000 && exec "$@"' limited "$perceiver" generate run --length 1 --prompt-file huge
    has err "^prompt $(($(bytes huge) + 1)) tokens"
    rm huge
else
    skip "the program does not run with limited addresses"
fi

begin "prompts that are no files"
refuses() { # refuses STATUS PATTERN ARGUMENT...
    local expected=$1 pattern=$2
    shift 2
    ends "$expected" timeout 20 "$perceiver" "$@"
    has err "^perceiver $1: .*$pattern"
}
mkfifo pipe
mkdir folder
for path in pipe folder /dev/zero /dev/null; do
    refuses $noinput "$path: not a regular file" generate run --prompt-file $path
done
refuses $noinput 'nowhere: No such file' generate run --prompt-file nowhere

begin "prompts that are pictures"
for size in 8 9 10; do works attend run prompt --size $size -o map$size.png; done
works prepare image --size 8 --train map8.png --validation map9.png --test map10.png -o pictures
works train pictures -o drawn --context 64 --latents 16 --channels 16 --heads 2 --layers 1 --steps 1
works generate drawn --prompt-file map8.png --keep 0.5 -o expected.png
last="generate drawn --prompt-file -"
"$perceiver" generate drawn --prompt-file - --keep 0.5 -o found.png <map8.png >out 2>err
check "a picture from standard input" cmp -s found.png expected.png
for path in pipe /dev/zero; do
    refuses $noinput "$path: not a regular file" generate drawn --prompt-file $path -o none.png
    refuses $noinput "$path: not a regular file" generate drawn --complete $path map8.png -o none.png
done
no_leftovers

# ---------------------------------------------------------------- weights

begin "several samples of one prompt are those of single runs"
warm() { works generate run --temperature 1.5 --length 40 --prompt $'\nKING' "$@"; }
for seed in 11 12 13; do
    warm --seed $seed
    cp out single-$seed
done
warm --seed 11 --samples 3 -o many.txt
for i in 1 2 3; do check "sample $i" cmp -s many-$i.txt single-$((i + 10)); done
check "no other file" test ! -e many.txt
cmp -s single-11 single-12 && fail "two seeds gave one text"
warm --seed 11 --samples 3
{ for i in 1 2 3; do
    [ $i = 1 ] || echo
    echo "==== sample $i of 3"
    cat single-$((i + 10))
    tail -c 1 single-$((i + 10)) | grep -q . && echo
done; } >expected
check "on standard output" cmp -s out expected
mkdir -p taken/s-2.txt
refuses $cantcreate 'taken/s-2.txt' generate run --samples 3 -o taken/s.txt
check "nothing was made" test ! -e taken/s-1.txt
refuses $usage '--samples' generate run --samples 0
refuses $usage '--echo' generate run --samples 2 --echo --prompt x

begin "the weights of a checkpoint"
loss() { # loss COMMAND...: of eval
    works eval "$@" --json
    number loss out
}
generate --prompt-file short
cp out best
generate --prompt-file short --checkpoint 200 # the last, which is the best
check "the last checkpoint" cmp -s out best
[ "$(loss run)" = "$(loss run --checkpoint 200)" ] || fail "eval of the last checkpoint"
awk -v a="$(loss run --checkpoint 100)" -v b="$(loss run)" 'BEGIN { exit !(a > b) }' || fail "an earlier one is not worse"
works score run prompt --checkpoint 150
spoiled=run/checkpoints/step-00000150/model.safetensors
cp $spoiled kept
printf '\377' | dd of=$spoiled bs=1 seek=$(($(bytes $spoiled) - 1)) conv=notrunc status=none
for arguments in "eval run" "generate run" "score run prompt" "attend run prompt -o none.png"; do
    # shellcheck disable=SC2086
    refuses $data "$spoiled: its contents are not those that its manifest names" $arguments --checkpoint 150
done
mv kept $spoiled
refuses $noinput 'run: no checkpoint of update 7; there are those of 100, 150, 200$' generate run --checkpoint 7
refuses $noinput 'drawn: no checkpoint of update 7; there are those of 1$' generate drawn --checkpoint 7 -o none.png
works train data -o averaged --context 32 --latents 8 --channels 16 --heads 2 --layers 1 --steps 20 --eval-every 20 --ema 0.9
[ "$(loss averaged)" = "$(loss averaged --checkpoint 20)" ] || fail "a checkpoint of averaged weights"
rm -r averaged/checkpoints
refuses $noinput 'no checkpoint of update 20; there is none' generate averaged --checkpoint 20
finish
