#!/usr/bin/env bash
# What a run is, and what makes it another: its data, its settings, its record. Usage: tests/runs.sh PERCEIVER
set -eu
perceiver=$(realpath "$1") checks=$(realpath "$(dirname "$0")/checks.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export LC_ALL=C OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive NO_COLOR=1

# shellcheck source=tests/checks.sh
. "$checks"

# fails STATUS PATTERN ARGUMENT...: one line on err says why.
fails() {
    local expected=$1 pattern=$2
    shift 2
    ends "$expected" "$perceiver" "$@"
    tail -n 1 err | grep -Eq -- "^perceiver $1: .*$pattern" || fail "expected an error line that has '$pattern'"
}
unchanged() { diff -r "$1" "$1.before" >diff || fail "the refused run $1 has changed: $(head -n 3 diff)"; }
number() { grep -o "\"$1\": [-+.e0-9]*" "$2" | tail -n 1 | sed 's/.*: //'; }
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
for i in 1 2 3; do wave sounds/$i.wav 900; done
works prepare audio sounds -o mulaw --rate 8000
works prepare audio sounds -o faster --rate 16000
rvq="--codec rvq --rate 8000 --frame 64 --codebooks 1 --codes 8"
works prepare audio sounds -o rvq $rvq
works prepare audio sounds -o rvq2 $rvq --seed 5
works train copy:64 -o copy --context 64 --latents 16 --channels 16 --heads 2 --layers 1 --steps 2 --threads 1
works attend copy -o map.png
mkdir pictures
for i in 1 2 3; do cp map.png pictures/$i.png; done
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
refuses '--preset books: context would be 4096' --preset books
refuses '--preset demo: context' --preset demo
echo '{"channels": 32}' >wide.json
refuses '--config wide.json: channels would be 32, but the run has 16' --config wide.json
echo '{"training": {"lr": 0.5}}' >fast.json
refuses '--config fast.json: lr would be 0.5, but the run has 0.003' --config fast.json
fails "$config" 'vocab_size is 300' train -o fixed --resume --vocab 300
works train -o fixed --resume $small --preset tiny --context 32 --latents 8 --dialect default --steps 6 # its own
works train -o fixed --resume --config fixed/config.json --steps 7
works train -o fixed --resume --config fast.json --lr 0.5 --batch 3 --steps 8 # said by itself
equal "a learning rate that was changed" "$(number lr fixed/config.json)" 0.5
works train raster -o placed $small --steps 2
works train -o placed --resume $small --dialect default --steps 3 # whose positions the data gave

finish
