#!/usr/bin/env bash
# What a run is, and what makes it another: its data, its settings, its record. Usage: tests/runs.sh PERCEIVER
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"
export OMP_NUM_THREADS=1 NO_COLOR=1

unchanged() { diff -r "$1" "$1.before" >diff || fail "the refused run $1 has changed: $(head -n 3 diff)"; }
number() { grep -o "\"$1\": [-+.e0-9]*" "$2" | tail -n 1 | sed 's/.*: //'; } # the last, of a record's many
word() { sed -nE "s/.*\"$1\": \"([^\"]*)\".*/\\1/p" "$2" | head -n 1; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ: ${3:-}"; }
other() { ! cmp -s "$1" "$2" || fail "$1 and $2 are the same: ${3:-}"; }
checkpoint() { printf '%s/checkpoints/step-%08d/model.safetensors' "$1" "$2"; }

small="--context 32 --latents 8 --channels 16 --heads 2 --layers 1 --batch 2 --threads 1"
make_texts

# wave FILE SAMPLES: a WAV of 16 bits at 8000 Hz
little() { printf "\\$(printf %o $(($1 & 255)))\\$(printf %o $(($1 >> 8 & 255)))\\$(printf %o $(($1 >> 16 & 255)))\\$(printf %o $(($1 >> 24 & 255)))"; }
wave() {
    { printf RIFF; little $((36 + 2 * $2)); printf 'WAVEfmt '; little 16; printf '\1\0\1\0'; little 8000; little 16000
      printf '\2\0\20\0data'; little $((2 * $2))
      sentences 3 $((2 * $2)) | head -c $((2 * $2)); } >"$1"
}

# ---------------------------------------------------------------- data sets know what their ids mean

begin "digests of data sets"
works prepare text text -o set
works prepare text text -o again
works prepare text text -o shuffled --seed 2
[[ $(word digest set/dataset.json) =~ ^[0-9a-f]{32}$ ]] || fail "no digest in dataset.json"
equal "digest of the same files" "$(word digest again/dataset.json)" "$(word digest set/dataset.json)"
equal "meaning of bytes" "$(word meaning shuffled/dataset.json)" "$(word meaning set/dataset.json)"
[ "$(word digest shuffled/dataset.json)" != "$(word digest set/dataset.json)" ] || fail "other splits, the same digest"
mkdir sounds
for i in 1 2 3; do wave sounds/$i.wav $((900 + i)); done
works prepare audio sounds -o mulaw --rate 8000
works prepare audio sounds -o faster --rate 16000
rvq="--codec rvq --rate 8000 --frame 64 --codebooks 1 --codes 8"
works prepare audio sounds -o rvq $rvq
works prepare audio sounds -o rvq2 $rvq --seed 5
works train copy:64 -o copy --context 64 --latents 16 --channels 16 --heads 2 --layers 1 --steps 2 --threads 1
mkdir pictures
for i in 1 2 3; do works attend copy -o pictures/$i.png --context 2$i; done # three contents
works prepare image pictures -o raster --size 8
works prepare image pictures -o spiral --size 8 --order spiral
works prepare image pictures -o small --size 4
works prepare bytes text -o raw --tokenizer bytes-262
sets="set mulaw faster rvq rvq2 raster spiral small raw"
if "$perceiver" prepare text text -o pieces --tokenizer sentencepiece:300 >out 2>err; then
    works prepare text --train text/1.txt --validation text/2.txt --test text/3.txt -o pieces2 --tokenizer sentencepiece:300
    sets="$sets pieces pieces2"
else
    skip "no SentencePiece"
fi
for a in $sets; do
    for b in $sets; do
        [ $a = $b ] || [ "$(word meaning $a/dataset.json)" != "$(word meaning $b/dataset.json)" ] ||
            fail "the ids of $a and $b mean the same"
    done
done
works prepare image pictures -o raster2 --size 8 --background '#000000'
equal "meaning behind another background" "$(word meaning raster2/dataset.json)" "$(word meaning raster/dataset.json)"
cp -r raster swapped
cp spiral/tokenizer.json swapped
fails $data "swapped/dataset.json: 'meaning'.*not the one that made" plan swapped --probe 0
cp -r rvq swapped2
cp rvq2/codec.safetensors swapped2 2>out || cp rvq2/*.safetensors swapped2
fails $data "swapped2/dataset.json: 'meaning'.*not the one that made" plan swapped2 --probe 0

begin "a run goes on with what its ids mean"
works train set -o run $small --steps 6 --save-every 3
cp -r run run.before
equal "ids of text, of samples" "$(number vocab_size set/dataset.json)" "$(number vocab_size mulaw/dataset.json)"
equal "ids of text, of pictures" "$(number vocab_size set/dataset.json)" "$(number vocab_size raster/dataset.json)"
for d in mulaw raster raw; do
    fails $data "$d: [0-9]+ ids of tokenizer .*, but run was trained with 259 of bytes" train $d -o run --resume --steps 9 --other-data
    fails $data "$d: [0-9]+ ids of tokenizer .*, but run was trained with 259 of bytes" eval run --data $d
    unchanged run
done
each() { # each RUN-DATA OTHER: the same tokenizer, which means other things
    works train $1 -o of-$1 $small --steps 2
    cp -r of-$1 of-$1.before
    fails $data "$2: its ids mean other things than those that of-$1 was trained with" train $2 -o of-$1 --resume --steps 4 --other-data
    fails $data "$2: its ids mean other things" eval of-$1 --data $2
    unchanged of-$1
    cp -r of-$1 mixed
    cp $2/tokenizer.json $(find $2 -name '*.safetensors' -o -name '*.model') mixed
    fails "$data" '.' eval mixed # the run's own folder does not fit together
    has err "mixed/tokenizer.json"
    fails $data 'mixed/tokenizer.json' score mixed --tokens ids
    rm -r mixed
}
echo 5 6 7 >ids
each raster spiral
each mulaw faster
each rvq rvq2
[ ! -d pieces2 ] || [ "$(number vocab_size pieces/dataset.json)" != "$(number vocab_size pieces2/dataset.json)" ] || each pieces pieces2

begin "a run goes on with its own data"
fails $data "shuffled: not the data that the run was trained on .*--other-data" train shuffled -o run --resume --steps 9
fails $data "copy:64: not the data" train copy:64 -o run --resume --steps 9
unchanged run
rm -r run.before
mkdir elsewhere
works prepare text text -o elsewhere/set --seed 7
bits=$("$perceiver" eval run --json | sed 's/.*"loss": \([0-9.]*\).*/\1/')
cd elsewhere # where another data set has the run's data set's name
works eval ../run --json
equal "loss from another folder" "$(number loss out)" "$bits"
cp -r ../run here
works train -o here --resume --steps 9
works train ../set -o ../run --resume --steps 9
same here/model.safetensors ../run/model.safetensors "resumed in two folders"
equal "the data set, from anywhere" "$(word dataset ../run/config.json)" "$(realpath ../set)"
fails $data "set: not the data that the run was trained on" train set -o here --resume --steps 12
works eval here --data set
has err 'elsewhere/set: other data than the run was trained on'
cd ..
mv set moved
fails $noinput "set: the run's data set is not there any more; name it" train -o run --resume --steps 12
fails $noinput "set: the run's data set is not there any more; --data" eval run
works eval run --data moved --json
! grep -q 'other data' err || fail "a data set that was moved is called another"
works train moved -o run --resume --steps 12
equal "a data set that was moved" "$(word dataset run/config.json)" "$(realpath moved)"
works eval run
mv moved set
cp -r shuffled moved # another one in its place
fails $data 'moved: not the data .*as it was then' train -o run --resume --steps 15
fails $data 'moved: not the data that the run was trained on any more; --data' eval run

begin "a run goes on with other data, if asked to"
spoil="--resume --schedule constant --warmup 0 --lr 2 --clip 0 --eval-every 100 --keep 9" # so that every validation is worse
works train set -o run $spoil --steps 14 --save-every 2
other run/model.safetensors "$(checkpoint run 14)" "learning at a rate of 2 did not spoil the weights"
works train shuffled -o run $spoil --steps 15 --other-data
has err 'going on with other data: .*/shuffled'
equal "the new data" "$(word digest run/config.json)" "$(word digest shuffled/dataset.json)"
same run/model.safetensors "$(checkpoint run 15)" "validations of other data were compared"
rm -r run/checkpoints/step-00000015 # as if killed in between
works train -o run $spoil --steps 16
same run/model.safetensors "$(checkpoint run 16)" "validations of other data were compared after an interruption"
fails $usage 'other-data belongs to --resume' train set -o x $small --steps 2 --other-data

begin "data sets and runs of older versions"
old() { sed -i -E '/"(digest|meaning)":/d' "$1"; }
cp -r set older
old older/dataset.json
works train older -o aged $small --steps 2
old aged/config.json
works train -o aged --resume --steps 4
has err 'older is taken for the data that the run was trained on'
works eval aged
has err 'older is taken for the data'
fails $data 'shuffled: not the data' train shuffled -o aged --resume --steps 6
fails $data 'mulaw: 259 ids of tokenizer mulaw' train mulaw -o aged --resume --steps 6
works train older -o aged --resume --steps 6
works train set -o aged --resume --steps 8 --other-data

begin "settings of a run that goes on"
works train set -o fixed $small --preset tiny --context 32 --latents 8 --steps 4
cp -r fixed fixed.before
refuses() { # refuses PATTERN FLAG...
    local pattern=$1
    shift
    fails $config "$pattern" train -o fixed --resume --steps 9 "$@"
    unchanged fixed
}
refuses '--layers: layers would be 7, but the run has 1' --layers 7
refuses '--context: context would be 128, but the run has 32' --context 128
refuses '--dropout: dropout would be 0.3, but the run has 0' --dropout 0.3
refuses '--arch: architecture would be transformer' --arch transformer
refuses '--dialect krasserm: activation would be' --dialect krasserm
refuses '--preset books: context would be 131072' --preset books
refuses '--preset demo: context' --preset demo
echo '{"channels": 32}' >wide.json
refuses '--config wide.json: channels would be 32, but the run has 16' --config wide.json
echo '{"training": {"lr": 0.5}}' >fast.json
refuses '--config fast.json: lr would be 0.5, but the run has 0.003' --config fast.json
refuses '--seed: seed would be 7, but the run has 1' --seed 7
refuses '--begin: begin would be random, but the run has data' --begin random
refuses '--start-length: start_length would be 4, but the run has 0' --start-length 4
refuses '--ema: ema would be 0.9, but the run has 0;' --ema 0.9
works train set -o meant $small --steps 2 --ema 0.9
fails $config '--ema: ema would be 0, but the run has 0.9' train -o meant --resume --steps 4 --ema 0
works train -o meant --resume --steps 4 --ema 0.5
works train set -o remembers --arch transformer-xl --context 32 --channels 16 --heads 2 --layers 1 --batch 2 --steps 2
fails $config '--batch: batch would be 4, but the run has 2' train -o remembers --resume --steps 4 --batch 4
for change in "batch 4" "total-batch 64" "lr 0.1" "schedule constant" "warmup 3" "lr-end 0.1" "decay-share 0.2" "minutes 9" \
    "weight-decay 0" "beta1 0.8" "beta2 0.9" "clip 0" "z-loss 0" "label-smoothing 0.1" "min-crop 4" "vary-context 0.5" "grow-accuracy 0.5" \
    "threads 2" "device cpu" "recompute all" "save-every 2" "save-minutes 0" "keep 3" "eval-every 2" \
    "eval-tokens 900" "sample-every 3" "log-every 1"; do # every other flag of training may change, and is kept
    rm -rf changed
    cp -r fixed changed
    # shellcheck disable=SC2086
    works train -o changed --resume --steps 5 --$change
    name=${change% *}
    has changed/config.json "\"${name//-/_}\": \"?${change#* }"
done
if "$perceiver" bench train --preset tiny --precision bf16 >json.log 2>&1; then # this processor has it
    works train -o changed --resume --steps 6 --precision bf16
    has changed/config.json '"precision": "bf16"'
fi
fails "$config" 'vocab_size is 300' train -o fixed --resume --vocab 300
works train -o fixed --resume $small --preset tiny --context 32 --latents 8 --dialect default --steps 6 # its own
works train -o fixed --resume --config fixed/config.json --steps 7
works train -o fixed --resume --config fast.json --lr 0.5 --batch 3 --steps 8 # said by itself
equal "a learning rate that was changed" "$(number lr fixed/config.json)" 0.5
works train raster -o placed $small --steps 2
works train -o placed --resume $small --dialect default --steps 3 # whose positions the data gave

begin "contexts that vary"
plain=${small/--latents 8 /}
for part in 0 0.9; do
    echo "{\"training\": {\"vary_context\": $part}}" >vary.json
    works train set -o "vary-$part" $small --config vary.json --steps 4
    works train copy:64 -o "copy-$part" $small --config vary.json --steps 4
    works train set -o "transformer-$part" $plain --arch transformer --config vary.json --steps 4
done
other vary-{0,0.9}/model.safetensors "pieces of the same length"
same copy-{0,0.9}/model.safetensors "the length is a part of what is generated"
same transformer-{0,0.9}/model.safetensors "every length is learned from anyway"
fails $usage '--vary-context: transformer has no such setting, but perceiver-ar' train set -o x $plain --arch transformer \
    --vary-context 0.5 --steps 4

# ---------------------------------------------------------------- where a run ends, and how it is repeated

begin "limits by updates and by time"
works train set -o limited --preset demo $small --steps 3 # whose three minutes do not count then
equal "minutes of a preset, steps by hand" "$(number minutes limited/config.json)" "0.0"
has err 'trained 3 updates'
lr=$(number lr limited/metrics.jsonl)
works train set -o limited2 $small --lr 0.002 --warmup 100 --beta2 0.95 --prefix-dropout 0.5 --steps 3
equal "learning rates of the same limit" "$lr" "$(number lr limited2/metrics.jsonl)"
echo '{"training": {"minutes": 60}}' >hour.json
works train set -o limited3 $small --config hour.json --steps 3
equal "minutes of a file, steps by hand" "$(number minutes limited3/config.json)" "0.0"
works train set -o limited4 --preset million $small --layers 1 --minutes 0.003
equal "steps of a preset, minutes by hand" "$(number steps limited4/config.json)" 0
has err 'after update [0-9]+ the time of 0.003 minutes is over'
works train set -o both $small --steps 4 --minutes 60 # both by hand: what comes first
has err 'update 4 is the last one; the same weights again: --config both/config.json --steps 4'
works train set -o both2 $small --steps 1000000000 --minutes 0.004 --warmup 0
has err 'the time of 0.004 minutes is over'
awk -v lr="$(number lr both2/metrics.jsonl)" 'BEGIN { exit !(lr < 0.0005) }' || fail "the schedule did not follow the time"
works train -o both --resume --steps 6
equal "the limit given to a resumed run" "$(number minutes both/config.json)" "0.0"
works train -o both --resume
has err 'the run is finished: 6 updates in'
fails $usage '--steps or --minutes' train set -o x --preset demo $small --minutes 0
fails $usage '--steps.*--minutes' compare set -o x $small --steps 5

begin "a run by the clock is repeated"
works train set -o timed $small --minutes 0.02 --schedule cosine --warmup 2 --eval-tokens 500
again=$(sed -nE 's/.*the same weights again: //p' err)
steps=${again##* }
check "a run of a second has more than 20 updates" [ "$steps" -gt 20 ]
works train set -o repeated $again
same "$(checkpoint timed "$steps")" "$(checkpoint repeated "$steps")" "the run by the clock was not repeated"
same timed/model.safetensors repeated/model.safetensors "other weights were kept"
steady() { sed -E 's/"(time|tokens_per_second|seconds)": [^,}]*//g' "$1/metrics.jsonl"; }
[ "$(steady timed)" = "$(steady repeated)" ] || fail "the repeated run has another record"
works train set -o by-steps $small --steps "$steps" --schedule cosine --warmup 2 --eval-tokens 500
other "$(checkpoint by-steps "$steps")" "$(checkpoint timed "$steps")" "the clock made no difference: nothing was tested"
works train set -o longer --config timed/config.json --steps $((steps + 1)) # its own schedule
works train set -o plain $small --steps $((steps + 1)) --schedule cosine --warmup 2 --eval-tokens 500
same longer/model.safetensors plain/model.safetensors "the clock of another number of updates was followed"
"$perceiver" train set -o halves $small --minutes 0.02 --save-every 2 >out 2>&1 &
for _ in $(seq 500); do ls halves/checkpoints/step-* >ls.log 2>&1 && break || sleep 0.02; done
kill -9 $! 2>out
wait $! 2>out || true
works train -o halves --resume
again=$(sed -nE 's/.*the same weights again: //p' err)
works train set -o whole $again
same "$(checkpoint halves "${again##* }")" "$(checkpoint whole "${again##* }")" "a run by the clock in two parts"

# ---------------------------------------------------------------- the record

begin "the record of a resumed run"
events() { cat "$1"/events.out.tfevents.* "$1"/validation/events.out.tfevents.* | tr -c '[:print:]' '\n' | grep -c "$2"; }
record="$small --log-every 10 --eval-every 7 --sample-every 14"
works train set -o straight $record --steps 40
works train set -o bent $record --steps 40 --save-every 15 --keep 20
cp -r bent bent2
for step in bent/checkpoints/*; do [[ $step < bent/checkpoints/step-00000016 ]] || rm -r "$step"; done
works train -o bent --resume
has err 'resumed after update 15'
[ "$(steady straight)" = "$(steady bent)" ] || fail "a resumed run has another record: $(diff <(steady straight) <(steady bent))"
equal "losses in the event files" "$(events bent loss)" "$(events straight loss)"
equal "rates in the event files" "$(events bent grad_norm)" "$(events straight grad_norm)"
equal "samples in the event files" "$(events bent sample/text)" "$(events straight sample/text)"
works train -o bent2 --resume
[ "$(steady straight)" = "$(steady bent2)" ] || fail "a run that had ended has another record"
equal "losses in the event files of a run that had ended" "$(events bent2 loss)" "$(events straight loss)"

begin "accuracy of the updates since the last line"
mkdir same
for i in 1 2 3; do head -c $((3000 + i)) /dev/zero | tr '\0' a >same/$i.txt; done
works prepare text same -o a-only
works train a-only -o a-run $small --warmup 0 --lr 0.01 --steps 20
equal "accuracy on nothing but a" "$(number accuracy a-run/metrics.jsonl)" 1
awk '/"accuracy": 1,/ && /"step": (1|10),/ { n = 1 } END { exit !n }' a-run/metrics.jsonl ||
    fail "the accuracy of the first lines is not that of their updates"

begin "validations that are too small to judge"
head -c 200 text/8.txt >little.txt
head -c 4 text/8.txt >least.txt
works prepare text --train text/1.txt text/2.txt --validation least.txt --test text/3.txt -o least
works train least -o trusting --context 32 --latents 16 --channels 16 --heads 2 --layers 1 --threads 1  \
    --steps 40 --eval-every 4 --keep 20 --save-every 4 --lr 0.3 --warmup 0
has err 'too small to judge: [0-9]+ targets in one piece have no standard error; the newest weights are kept'
has err 'update 4: validation .* undefined: one window'
same trusting/model.safetensors "$(checkpoint trusting 40)" "one window of a validation chose weights"
! grep -q 'best validation' err || fail "a validation that cannot judge is called the best"
works prepare text --train text/1.txt text/2.txt --validation little.txt --test text/3.txt -o little
works train little -o doubting $small --steps 6 --eval-every 1 --lr 1e-6 --output-bias # knows frequencies, learns little
has err 'too small to judge: 20[0-9] targets, fewer than 1000; the newest weights are kept'
same doubting/model.safetensors "$(checkpoint doubting 6)" "a validation of few targets chose weights"
sha256sum text/1.txt text/2.txt text/3.txt | head -c 232 >sums.txt # it gets worse the more is learned
works prepare text --train text/1.txt text/2.txt --validation sums.txt --test text/3.txt -o sums
works train sums -o summed $small --steps 40 --eval-every 4 --lr 0.01 --keep 20 --save-every 4
has err 'too small to judge: 23[0-9] targets'
same summed/model.safetensors "$(checkpoint summed 40)" "checksums chose weights"
head -c 1200 text/8.txt >little.txt
works prepare text --train text/1.txt text/2.txt --validation little.txt --test text/3.txt -o little1200
rm -r doubting
works train little1200 -o doubting $small --steps 6 --eval-every 1 --lr 1e-6 --output-bias
has err 'too small to judge: the standard error of its [0-9]+ targets, 0.[0-9]+ bits, is above the 0.[0-9]+ by which'
has err 'update [0-9]+: validation [0-9.]+ bits per token .*, not judged'
same doubting/model.safetensors "$(checkpoint doubting 6)" "validations that cannot judge chose weights"
works train set -o judged $small --lr 0.1 --schedule constant --steps 30 --eval-every 10
! grep -q 'too small' err || fail "a validation of 7 KB cannot judge"
has err 'best validation'

begin "pictures and sound for TensorBoard"
works train raster -o pictured --context 192 --latents 16 --channels 16 --heads 2 --layers 1 --threads 1 --steps 1
equal "pictures in the event files" "$(events pictured sample/picture)" 1
equal "a picture's bytes" "$(cat pictured/validation/events* | grep -c IHDR)" 1
works train mulaw -o sounded $small --steps 1
equal "sounds in the event files" "$(events sounded sample/sound)" 1
equal "their pictures" "$(events sounded sample/picture)" 1

begin "a comparison goes on with its own data and model"
compare="$small --archs perceiver-ar --depths 1 --contexts 16,32 --cost-only"
works compare set -o compared $compare
works compare set -o compared $compare --resume
cp -r compared compared.before
fails $data "shuffled: not the data that the comparison was begun with" compare shuffled -o compared $compare --resume
fails $config '--channels: channels would be 32, but the comparison was begun with 16' compare set -o compared $compare --channels 32 --resume
unchanged compared
rm compared/comparison.json
works compare set -o compared $compare --resume
has err 'set is taken for the data that the comparison was begun with'

finish
