#!/usr/bin/env bash
# A token has one probability, whichever command is asked: eval, score, attend and generate agree about every kind of
# run. Usage: tests/scores.sh PERCEIVER
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"
export OMP_NUM_THREADS=1

mean_loss() { awk -F '\t' '{ s -= $3 } END { printf "%.9f", s / NR }' "$1"; } # of what score printed

# ---------------------------------------------------------------- documents in the middle of the context

begin "documents shorter than the context stand where training put them"
works train copy:18 -o copy --context 64 --latents 18 --positions learned --channels 64 --heads 4 --layers 2 \
    --batch 32 --steps 250 --lr 0.005 --warmup 20
has copy/config.json '"middle": 18'
! grep -q 'too small' err || fail "generated documents cannot judge"
works eval copy --json
close "accuracy" "$(number accuracy out)" 1 0.01
reverses() { # reverses RUN
    for window in refill exact slide; do
        works generate "$1" --prompt 'Xy z12#q' --temperature 0 --window $window
        equal "continuation under $window" "$(cat out)" 'q#21z yX'
    done
    printf 'PerceiveeviecreP' >word
    works score "$1" word
    close "surprise about the mirrored half" "$(tail -n 8 out >half && mean_loss half)" 0 0.1
}
reverses copy
sed -i '/"middle"/d' copy/config.json # as runs older than the key
reverses copy

# ---------------------------------------------------------------- pictures

begin "windows that begin inside a picture"
small="--context 64 --latents 16 --channels 16 --heads 2 --layers 1 --batch 2"
for size in 8 9; do works attend copy -o map$size.png --size $size; done
for order in raster coarse-to-fine; do
    works prepare image --size 8 --order $order --train map8.png --test map9.png -o pictures-$order
    works train pictures-$order -o drawn-$order $small --steps 2
    for options in "" "--stride 1" "--latents 8 --context 32 --stride 7"; do
        # shellcheck disable=SC2086
        works eval drawn-$order --json $options
        loss=$(number loss out)
        # shellcheck disable=SC2086
        works score drawn-$order map9.png $options
        equal "tokens" "$(grep -c . out)" 192
        close "score $options" "$(mean_loss out)" "$loss" 1e-5
    done
done

# ---------------------------------------------------------------- numbers

begin "as many targets as asked for, and no error of one window"
for tokens in 1 17 24 100; do
    works eval copy --json --examples 30 --tokens $tokens
    equal "targets" "$(number tokens out)" $tokens
    works eval copy --json --examples 30 --tokens $tokens --sweep latents --values 2,9
    equal "targets of each point" "$(grep -o '"tokens": [0-9]*' out | sort -u)" "\"tokens\": $tokens"
done
works eval copy --json --examples 1
has out '"standard_error": null'
json out
works eval copy --examples 1
has out 'bits per token .*standard error undefined: one window'
works eval copy --json --examples 2
has out '"standard_error": [0-9]'
make_texts
sentences 9 200 >one.txt
works prepare text --train text/1.txt --validation one.txt --test one.txt -o text-set
works train text-set -o words $small --latents 256 --context 256 --steps 2
has err 'bits per token \(standard error undefined: one window\)'
has words/metrics.jsonl '"validation_error": null'
works score words one.txt
equal "tokens" "$(grep -c . out)" "$(bytes one.txt)"
cut -f 2 out | tr '\n' ' ' >one.ids
echo 1 >>one.ids # the end of the document, which eval counts
works score words --tokens one.ids
mean_loss out >expected
works eval words --json
equal "targets" "$(number tokens out)" $(($(bytes one.txt) + 1))
close "eval, and score with the end" "$(number loss out)" "$(cat expected)" 1e-5
works eval words --json --stride 64 --data text-set --split train --tokens 640
has out '"word_perplexity": [0-9]'
sed 's/[a-z]*/x(&);/g' text/1.txt >code.txt # as source code: what stands between white space is no word
seq 1000 1600 >numbers.txt
ls -laR / 2>err.log | head -n 60 >listing.txt || true
for text in code numbers listing; do
    works prepare text --train text/1.txt --test $text.txt -o $text-set
    works eval words --data $text-set --json --tokens 640
    ! grep -q word_perplexity out || fail "a perplexity of words that are none, of $text"
done

begin "weights whose output is no number"
cp -r copy huge
header=$(od -An -tu8 -N 8 copy/model.safetensors | tr -d ' ')
size=$(($(bytes copy/model.safetensors) - header - 8))
{
    head -c $((header + 8)) copy/model.safetensors
    awk -v n=$((size / 4)) 'BEGIN { for (i = 0; i < n; i++) printf "PPP%c", rand() < 0.5 ? 80 : 208 }' # +-1.4e10
} >huge/model.safetensors
for arguments in "eval huge" "eval huge --sweep latents --values 2,4" "score huge word" "generate huge --prompt abc" \
    "attend huge word -o none.png"; do
    # shellcheck disable=SC2086
    ends $numeric "$perceiver" $arguments
    has err 'huge/model.safetensors: .*not finite'
done

# ---------------------------------------------------------------- files

begin "score: any length, standard input, logits as they come"
works score copy word
cp out expected
has err '^16 tokens, log-probability -[0-9.]+, [0-9.]+ bits per token, [0-9.]+ bits per byte$'
cat word | "$perceiver" score copy - >out 2>err || fail "score of a pipe"
cmp -s out expected || fail "standard input scores differently"
"$perceiver" score copy - <word >out 2>err || fail "score of standard input"
cmp -s out expected || fail "a file as standard input scores differently"
"$perceiver" attend copy - -o piped.png <word 2>err || fail "attend of standard input"
cut -f 2 expected | tr '\n' ' ' >word.ids
{ head -c 70000 /dev/zero | tr '\0' ' ' && cat word.ids; } | "$perceiver" score copy --tokens - >out 2>err || fail "ids"
cmp -s out expected || fail "ids of standard input score differently"
ends $data "$perceiver" score copy --tokens word
has err 'word: byte 0: expected whitespace-separated token ids'
works score copy word --logits whole.safetensors --stride 3
cp out expected
equal "bytes of the logits" $(($(bytes whole.safetensors) - 8 - $(od -An -tu8 -N 8 whole.safetensors))) $((16 * 259 * 4))
works score copy word --stride 3
cmp -s out expected || fail "--logits changes the scores"
ends $cantcreate "$perceiver" score copy word --logits no/where.safetensors
equal "lines in front of an output that cannot be made" "$(bytes out)" 0
truncate -s 300M long # with 3 GB of addresses: a list of its ids would fit once, but not what was made of them before
if can_limit 3000000; then
    (ulimit -v 3000000; "$perceiver" score copy long 2>err | head -n 3 >out) || true
    equal "first lines of a long file" "$(cut -f 1,2 out | tr '\t\n' '  ')" "0 3 1 3 2 3 "
else
    skip "the program does not run with limited addresses"
fi
for file in /dev/zero pipe; do
    [ -e $file ] || mkfifo $file
    ends $noinput timeout 20 "$perceiver" score copy $file
    has err "$file: not a regular file"
    ends $noinput timeout 20 "$perceiver" attend copy $file -o none.png
done
no_leftovers

begin "score on a terminal"
if command -v script >where; then
    printf 'a\n\033\\' >odd
    TERM=dumb script -qec "'$perceiver' score copy odd" typescript >out 2>err </dev/null
    has out '^ +index +id +log p +text'
    has out '^ +0 +100 +-[0-9.]+  a'
    has out '^ +1 +13 +-[0-9.]+  .n'
    has out '^ +2 +30 +-[0-9.]+  .x1b'
    has out '^4 tokens, log-probability'
else
    skip "no script(1)"
fi
finish
