#!/usr/bin/env bash
# What one device has trained another goes on with, evaluates and continues, either way round, in both precisions.
# Usage: tests/devices.sh PERCEIVER ROOT FOLDER of the CUDA plug-in; without a device it is skipped (status 77).
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
PERCEIVER_PLUGINS=$(realpath "$3")
export PERCEIVER_PLUGINS
enter "$1"
export NO_COLOR=1 OMP_NUM_THREADS=1

small="--context 32 --latents 8 --channels 16 --heads 2 --layers 1 --batch 2 --threads 1 --warmup 2 --lr 0.01
    --eval-every 1000000 --sample-every 1000000 --eval-tokens 64 --save-minutes 0 --log-every 1 --schedule constant"
make_texts
works prepare text text -o set

begin "there is a device"
run "$perceiver" train set -o first $small --steps 1 --device cuda
if [ $status = $config ]; then
    skip "$(tail -n 1 err)"
    exit 77
fi
[ $status = 0 ] || fail "no training on the device"
fails $config 'there (is|are) [0-9]* devices?, counted from 0' eval first --device cuda:1000
fails $config 'only devices of cuda are numbered' eval first --device cpu:1

loss() { # loss RUN DEVICE PRECISION: by an evaluation there
    works eval "$1" --json --tokens 200 --device "$2" --precision "$3"
    sed -nE 's/^\{"tokens": 200.*"loss": ([0-9.]+), "bits_per_token.*/\1/p' out
}
losses() { sed -nE 's/.*"loss": ([0-9.]+).*/\1/p' "$1/metrics.jsonl"; } # of a run's updates, one a line
near() { # near TOLERANCE X Y WHAT
    awk -v t="$1" -v x="$2" -v y="$3" 'BEGIN { exit !(x > 0 && y > 0 && x - y <= t && y - x <= t) }' ||
        fail "$4: $2 and $3, further apart than $1"
}

# Rounding may differ by the device, what is learned may not: of 12 updates the last 6 run elsewhere.
either_way() { # either_way PRECISION TOLERANCE
    local precision=$1 tolerance=$2 first second
    for first in cpu cuda; do
        second=cuda
        [ $first = cpu ] || second=cpu
        run "$perceiver" train set -o here-$first $small --steps 6 --device $first --precision "$precision"
        if [ $status = $config ] && [ $first = cpu ]; then
            skip "$(tail -n 1 err)"
            return
        fi
        [ $status = 0 ] || fail "no training on $first"
        works train set -o whole-$first $small --steps 12 --device $first --precision "$precision"
        works train -o here-$first --resume --steps 12 --device $second --precision "$precision"
        has err 'resumed after update 6$'
        paste <(losses whole-$first) <(losses here-$first) >both
        [ "$(wc -l <both)" -ge 12 ] || fail "$(wc -l <both) updates are recorded, expected 12"
        while read -r one other; do near "$tolerance" "$one" "$other" "losses of a run from $first to $second"; done <both
        near "$tolerance" "$(loss here-$first cpu f32)" "$(loss here-$first cuda "$precision")" "one run, evaluated twice"
        works generate here-$first --temperature 0 --length 40 --device $first --precision "$precision"
        cp out text-$first
        works generate here-$first --temperature 0 --length 40 --device $second --precision "$precision"
        [ "$precision" = bf16 ] || cmp -s out text-$first || fail "$first and $second generate different texts"
    done
    rm -rf here-* whole-*
}
begin "f32: trained here, resumed, evaluated and continued there"
either_way f32 1e-4
begin "bf16: trained here, resumed, evaluated and continued there"
either_way bf16 0.03
finish
