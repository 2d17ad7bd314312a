#!/bin/bash
# perceiver and krasserm's model in PyTorch, in turn: side_by_side.sh train|generate CONTEXT... (ROUNDS=3, PRECISION=f32;
# bf16 is for training: both sides' products in it, PyTorch by autocast)
# PYTHON names the interpreter that has torch; see krasserm.py for the environment it needs. Prints for each
# context the median of the rounds' medians on both sides, their ratio, and both peaks of resident memory.
set -eu
what=$1
shift
top=$(cd "$(dirname "$0")/.." && pwd)
perceiver=${PERCEIVER:-$top/build/release/perceiver}
shape="--dialect krasserm --prefix-dropout 0 --channels 512 --heads 8 --layers 8 --latents 512 --vocab 262 --threads ${THREADS:-2}"
[ "$what" = generate ] || shape="$shape --precision ${PRECISION:-f32}"

median() { sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }

for context in "$@"; do
    ours=$(mktemp) theirs=$(mktemp) memory=$(mktemp)
    for _ in $(seq "${ROUNDS:-3}"); do
        row='training step'
        [ "$what" = train ] || row='one token'
        # shellcheck disable=SC2086
        /usr/bin/time -f '%M' -o "$memory" "$perceiver" bench "$what" $shape --context "$context" |
            awk -F, -v row="$row" '$1 == row { print $3 }' >>"$ours"
        peer=$("${PYTHON:-python3}" "$top/bench/krasserm.py" "$what" "$context")
        echo "$peer" | cut -d, -f3 >>"$theirs"
    done
    awk -v what="$what" -v context="$context" -v a="$(median <"$ours")" -v b="$(median <"$theirs")" \
        -v ra="$(cat "$memory")" -v rb="$(echo "$peer" | cut -d, -f5)" 'BEGIN {
        printf "%s context %d: perceiver %.4f s, PyTorch %.4f s, ratio %.2f; peak %.2f and %.2f GiB\n",
            what, context, a, b, b / a, ra / 1048576, rb / 1073741824 }'
    rm -f "$ours" "$theirs" "$memory"
done
