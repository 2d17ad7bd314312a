#!/usr/bin/env bash
# The program as its user meets it: every command with its output, its files, its exit status and its
# messages. Usage: tests/cli.sh PERCEIVER
#
# A check runs the program through `works` or `fails`, which leave its output in the files out and err, and
# then looks at files. The first check that does not hold ends the script with the command, its exit status
# and its output.
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"

# ---------------------------------------------------------------- helpers

# ids FILE: a file's bytes as ids of the tokenizer "bytes", one per line.
ids() { od -An -v -tu1 "$1" | tr -s ' ' '\n' | awk 'NF { print $1 + 3 }'; }

# tokens FILE: a .tokens file as ids, one per line.
tokens() { od -An -v -tu2 "$1" | tr -s ' ' '\n' | awk 'NF'; }

make_texts

# A model of a few thousand weights, and nothing that takes time beside it.
small="--context 32 --latents 8 --channels 16 --heads 2 --layers 1 --batch 2 --threads 1"

# ---------------------------------------------------------------- the program itself

begin "help, version, manual"
works --help
for command in prepare plan train eval generate score attend compare info bench; do has out "^  $command "; done
commands=$(awk '/^Commands/ { on = 1; next } /^$/ { on = 0 } on && /^  [a-z]/ { print $1 }' out)
for command in $commands; do
    works "$command" --help
    has out "^perceiver $command"
    has out '^Example'
    awk 'length > 100 { exit 1 }' out || fail "a line of more than 100 columns"
done
works train --help
for flag in preset context latents channels layers heads cross-heads vocab batch total-batch lr warmup steps \
    minutes seed threads prefix-dropout recompute save-every eval-every sample-every resume config; do
    has out "^  --$flag( |\$)"
done
works generate --help
for flag in length temperature top-k top-p min-p repeat-penalty stop seed latents window; do has out "^  --$flag "; done
works --version
has out '^perceiver [0-9]+\.[0-9]+\.[0-9]+'
works --man
for command in $commands; do has out "^# PERCEIVER $command"; done
has out '^# EXIT STATUS'

begin "wrong commands and flags"
run "$perceiver"
equal "exit status without a command" $status $usage
fails $usage "did you mean 'train'" trian
fails $usage "no command 'xyzzy'" xyzzy
fails $usage "unknown option '--latens'; did you mean '--latents'" train set -o run --latens 4
fails $usage "unknown option '-z" train set -zq -o run
fails $usage "'--steps' needs a value" train set -o run --steps
fails $usage 'one argument too many' info a b
fails $usage 'something is missing' eval
fails $usage '.' train set
fails $usage '.' train -o run
fails $usage '.' prepare text text
fails $usage "'tset' is not one of train, validation, test; did you mean 'test'" eval run --split tset

# ---------------------------------------------------------------- prepare

begin "prepare text"
works prepare text text -o set
total=$(cat text/*.txt | wc -c)
[ "$(awk '/^(train|validation|test) / { n += $2 } END { print n }' err)" = 8 ] || fail "expected 8 documents"
equal "bytes of all splits" "$(awk '/^(train|validation|test) / { n += $4 } END { print n }' err)" "$((total))"
awk '/^(train|validation|test) / && $6 != $4 + 2 * $2 { exit 1 }' err || fail "expected two tokens more a document"
for split in train validation test; do
    awk -v s=$split '$1 == s && $2 > 0 { n = 1 } END { exit !n }' err || fail "no document in $split"
    equal "bytes of $split.tokens" "$(bytes set/$split.tokens)" "$(awk -v s=$split '$1 == s { print 2 * $6 }' err)"
    equal "bytes of $split.index" "$(bytes set/$split.index)" "$(awk -v s=$split '$1 == s { print 8 * $2 + 8 }' err)"
done
json set/dataset.json
equal "checksums in dataset.json" "$(grep -c xxh3_128 set/dataset.json)" 8
check "no tokenizer in the data set" [ -s set/tokenizer.json ]
test_file=$(grep -B 1 '"split": "test"' set/dataset.json | sed -n 's/.*"path": "\(.*\)".*/\1/p')
{ echo 2; ids "$test_file"; echo 1; } >expected
tokens set/test.tokens | cmp -s - expected || fail "test.tokens is not start, $test_file, end"
cp -r set before
fails $cantcreate 'set: exists already' prepare text text -o set
diff -r set before >json.log || fail "the refused data set has changed"
works prepare text text -o again
diff -r set again >json.log || fail "the same files and seed made another data set"
works prepare text text -o other --seed 3
! cmp -s set/test.tokens other/test.tokens || fail "another seed made the same split"
rm -rf before again other
works prepare text text -o slash/
check "no data set behind a name that ends with a slash" [ -f slash/dataset.json ]
no_leftovers

begin "prepare: splits"
mkdir few
cp text/1.txt text/2.txt text/3.txt few
for percent in 1,98,1 1,1,98 34,33,33 98,1,1; do
    works prepare text few -o few-$percent --split $percent
    for split in train validation test; do
        awk -v s=$split '$1 == s && $2 == 1 { n = 1 } END { exit !n }' err || fail "$percent of 3 files: not one each"
    done
done
cp text/4.txt few
works prepare text few -o few-10 --split 10,45,45
awk '$1 == "train" && $2 > 0 { n = 1 } END { exit !n }' err || fail "10,45,45 of 4 files: nothing to train on"
works prepare text few -o few-all --split 100,0,0
awk '$1 == "train" && $2 == 4 { n = 1 } END { exit !n }' err || fail "100,0,0: not all files to train on"
works prepare text text/1.txt -o one
for split in train validation test; do
    awk -v s=$split '$1 == s && $4 > 0 { n = 1 } END { exit !n }' err || fail "one file: nothing in $split"
done
equal "bytes of a file in three parts" "$(awk '/^(train|validation|test) / { n += $4 } END { print n }' err)" \
    "$(bytes text/1.txt)"
works prepare text --train text/1.txt text/2.txt --validation text/3.txt --test text/4.txt -o given
awk '$1 == "train" && $2 != 2 || $1 == "validation" && $2 != 1 || $1 == "test" && $2 != 1 { exit 1 }' err ||
    fail "given splits: wrong numbers of documents"
{ echo 2; ids text/4.txt; echo 1; } >expected
tokens given/test.tokens | cmp -s - expected || fail "given splits: test.tokens is not text/4.txt"
works prepare text --train text/1.txt -o untested
has err '^test +0 documents'
for percent in 90,5 90,5,6 0,50,50 a,b,c 101,0,-1 90,5,5x; do fails $usage 'split' prepare text text -o x --split "$percent"; done
fails $usage '-1 is out of range' prepare text text -o x --seed -1
fails $usage "'txt' is not one of" prepare txt text -o x
fails $usage 'expected one of bytes' prepare text text -o x --tokenizer byte
lacks x
no_leftovers

begin "prepare: strange and bad files"
mkdir strange
: >strange/empty
printf 'a\0b\0\0c' >strange/nul
printf 'one\r\ntwo\r\n' >strange/crlf
printf '\357\273\277mark\n' >strange/bom
printf '\377\376\200 no UTF-8' >strange/binary
ln -s nowhere strange/dangling
ln -s . strange/circle
mkfifo strange/pipe
works prepare bytes --train strange --test text/1.txt -o odd
has err 'skipped .*dangling'
has err 'skipped .*pipe'
has err 'skipped 4 files: 2 unreadable.*, 1 empty.*, 1 behind links'
for name in binary bom crlf nul; do echo 2; ids strange/$name; echo 1; done >expected
tokens odd/train.tokens | cmp -s - expected || fail "bytes did not pass through unchanged"
has odd/dataset.json 'dangling'
fails $noinput 'nowhere: no such file or folder' prepare text nowhere -o x
fails $noinput 'nowhere: no such file or folder' prepare text text/1.txt --test nowhere -o x
mkdir bad
ln -s nowhere bad/a
ln -s a bad/b
mkfifo bad/c
fails $data 'none of the files' prepare text bad -o x
mkdir void
run "$perceiver" prepare text void -o x
check "an empty folder made a data set" [ $status -ge 64 ]
fails $cantcreate 'text/1.txt: is a file, expected a folder' prepare text text/1.txt -o text/1.txt/x
lacks x
no_leftovers

# ---------------------------------------------------------------- plan

begin "plan"
works plan --preset tiny --probe 0
for word in parameters cross-attention self-attention head weights gradients optimizer activations available; do
    has out "$word"
done
has out 'it fits'
works plan set --preset tiny --probe 0.05 --threads 1 --json
json out
for key in parameters flops_step total available largest_context largest_batch step_seconds tokens_per_second; do
    [ -n "$(number $key out)" ] || fail "no $key"
done
byte_parameters=$(number parameters out)
half=$("$perceiver" bench train --preset tiny --precision bf16 >json.log 2>&1 && echo 1 || echo 0) # has this processor it?
equal "seconds in f32" "$(number f32 out)" "$(number step_seconds out)"
equal "seconds in bf16 are told" "$(grep -c '"bf16": [0-9]' out)" "$half"
works plan set --preset tiny --probe 0.05 --threads 1
equal "the fastest of two precisions" "$(grep -c '^  --precision [a-z0-9 .]* s, the fastest$' out)" "$half"
works prepare text text -o set262 --tokenizer bytes-262
works plan set262 --preset tiny --probe 0 --json
equal "parameters of three ids more" $(($(number parameters out) - byte_parameters)) $((3 * (64 * 2 + 64)))
fails $config 'vocab_size is 300, but set has 259' plan set --vocab 300 --probe 0
works plan --context 65536 --latents 65536 --channels 4096 --layers 64 --heads 32 --probe 0
has out 'does not fit'
fails $usage 'probe' plan --probe soon
fails $noinput 'nowhere' plan nowhere
fails $data 'not a data set' plan text

# ---------------------------------------------------------------- train

begin "train"
works train set -o run --preset tiny --steps 300 --threads 1
has err 'validation [0-9.]+ bits per token'
for file in config.json metrics.jsonl report.html model.safetensors tokenizer.json; do
    check "no $file in the run" [ -s run/$file ]
done
grep -aq 'brain.Event:2' run/events.out.tfevents.* || fail "no TensorBoard record"
for file in run run/validation; do grep -aq 'loss' $file/events.out.tfevents.* || fail "no loss for TensorBoard in $file"; done
for file in model.safetensors optimizer.safetensors manifest.json; do
    check "no $file in the last checkpoint" [ -s run/checkpoints/step-00000300/$file ]
done
json run/config.json
json run/checkpoints/step-00000300/manifest.json
while read -r line; do
    echo "$line" >line
    json line
done < <(tail -n 3 run/metrics.jsonl)
awk 'match($0, /"step": [0-9]+/) { s = substr($0, RSTART + 8, RLENGTH - 8) + 0; if (s < last) exit 1; last = s }
    END { exit last != 300 }' run/metrics.jsonl || fail "metrics.jsonl: the steps do not rise to 300"
has run/report.html '<html'
has run/report.html 'name="viewport"'
has run/report.html 'minmax\(min\(24rem, 100%\)' # a column is never wider than a phone
! grep -Eq '(src|href)="https?:' run/report.html || fail "the report loads something from elsewhere"
no_leftovers

begin "train: how threads wait"
mkfifo pipe
env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "$perceiver" generate run --prompt-file - --length 1 <pipe >json.log 2>&1 &
exec 9>pipe
for _ in $(seq 100); do
    spin=$(tr '\0' '\n' <"/proc/$!/environ" 2>json.log | grep GOMP_SPINCOUNT) && break
    sleep 0.05
done
equal "OpenMP's spinning" "$spin" "GOMP_SPINCOUNT=1000"
exec 9>&-
wait $! || fail "generate behind a pipe"
rm pipe

begin "train: the best weights"
works train set -o learned $small --index none --seed 3 --threads 1 --lr 0.1 --schedule constant --steps 60 --eval-every 10 --save-every 10 --keep 10
best=$(sed -nE 's/.*"step": ([0-9]+).*"validation_bits_per_token": ([0-9.]+).*/\2 \1/p' learned/metrics.jsonl | sort -n | head -n 1)
best=${best#* }
check "the last validation is the best: nothing to see" [ "$best" -lt 60 ]
has err "after update $best, whose weights are kept"
cmp -s learned/model.safetensors "learned/checkpoints/step-$(printf %08d "$best")/model.safetensors" ||
    fail "model.safetensors is not that of the best validation"
works train set -o learned --resume --steps 62
cmp -s learned/model.safetensors "learned/checkpoints/step-$(printf %08d "$best")/model.safetensors" ||
    fail "a resumed run forgot its best weights"
rm -r learned

begin "train: what it refuses"
cp -r run before
fails $cantcreate 'run: exists already.*--resume' train set -o run --steps 4
diff -r run before >json.log || fail "the refused run has changed"
rm -rf before
fails $usage '--steps or --minutes' train set -o x $small
fails $noinput 'nowhere: no such data set' train nowhere -o x --steps 2
fails $data 'text: not a data set' train text -o x --steps 2
fails $noinput 'x: no run to resume' train -o x --resume
fails $config 'latents is 128.*context of 64' train set -o x --latents 128 --context 64 --steps 2
fails $config 'channels is 64.*3 heads' train set -o x --channels 64 --heads 3 --steps 2
fails $config 'vocab_size is 300, but set has 259' train set -o x --vocab 300 --steps 2
fails $config '10.12 parameters' train set -o x --channels 65536 --layers 4096 --heads 1 --steps 2
for bad in '--steps -1' '--steps 2.5' '--steps 99999999999999999999' '--lr nan' '--lr fast' '--batch 0' \
    '--preset tinny' '--seed -1' '--arch lstm' '--recompute some'; do
    fails $usage "${bad%% *}" train set -o x --steps 2 $bad
done
fails "$usage" 'context: 99999999999 is out of range' train set -o x --steps 2 --context 99999999999
fails $memory 'needs [0-9.]+ GiB.*lower' train set -o x --steps 2 --context 1048576 --latents 1048576 --channels 1024 \
    --layers 12 --heads 8
fails $memory 'lower' train set -o x --steps 2 --context 16777216 --latents 512 --channels 64 --batch 64
lacks x
printf 'caf\351' >name
cp -r set "$(cat name)"
run "$perceiver" train "$(cat name)" -o x $small --steps 1
[ $status = 0 ] || tail -n 1 err | grep -q 'UTF-8' || fail "a data set whose name is not UTF-8: no reason that holds"
rm -rf x "$(cat name)"

begin "train: --config"
refused() { # refused STATUS PATTERN JSON
    echo "$3" >c.json
    fails "$1" "$2" train set -o x --steps 2 --config c.json
    lacks x
}
refused $config "c.json.*unknown key 'latnts'; did you mean 'latents'" '{"latnts": 8}'
refused $config "c.json.*fracton.*did you mean 'positions.rotary.fraction'" '{"positions": {"rotary": {"fracton": 1}}}'
refused $config "c.json.*training.*unknown key 'stepz'; did you mean 'steps'" '{"training": {"stepz": 5}}'
refused $config 'c.json: heads: found a string, expected a whole number' '{"heads": "2"}'
refused $config 'c.json: heads: found a number with a fraction' '{"heads": 2.5}'
refused $config 'c.json: heads: .*out of range' '{"heads": -2}'
refused $config 'c.json: positions: ' '{"positions": 3}'
refused $config 'c.json: norm: .*layer' '{"norm": "batch"}'
refused $config 'c.json.*training' '{"training": 5}'
refused $config 'c.json' '[]'
refused $data 'c.json: not valid JSON: line 1' '{"heads": 2,}'
refused $data 'c.json.*duplicate' '{"heads": 2, "heads": 1}'
fails $noinput 'nowhere.json' train set -o x --steps 2 --config nowhere.json
echo '{"channels": 32, "heads": 4, "training": {"steps": 3, "batch": 2}}' >c.json
works train set -o configured --preset tiny --config c.json --heads 8 --threads 1
equal "channels: the file over the preset" "$(number channels configured/config.json)" 32
equal "heads: the flag over the file" "$(number heads configured/config.json)" 8
equal "layers: the preset over the default" "$(number layers configured/config.json)" 2
equal "steps of the file" "$(number steps configured/config.json)" 3
works train set -o first $small --steps 20
works train set -o second --config first/config.json
cmp -s first/model.safetensors second/model.safetensors || fail "a run's config.json does not repeat the run"
works train set -o third/ $small --steps 20 --seed 2
! cmp -s first/model.safetensors third/model.safetensors || fail "another seed trained the same weights"
works train copy:64 -o copy $small --steps 20
grow="--context 64 --latents 16 --channels 32 --heads 1 --layers 1 --positions sinusoidal --rotary 0 --threads 1"
works train copy:64 -o grown $grow --start-length 8 --grow-accuracy 0 --steps 12 --total-batch 64 --eval-every 100
has grown/metrics.jsonl '"length": 8,'
has grown/metrics.jsonl '"length": 64'
works train copy:64 -o half $grow --start-length 8 --grow-accuracy 0 --steps 12 --total-batch 64 --eval-every 100 --save-every 2
cmp -s grown/model.safetensors half/model.safetensors || fail "saving changed a run whose pieces grow"
rm -r half/checkpoints/step-00000012 half/model.safetensors
works train --resume -o half
cmp -s grown/model.safetensors half/model.safetensors || fail "a resumed run whose pieces grow is another"
for name in recall:120 repeat:120; do # $grow's updates of 64 targets, or about that, at any length
    made=${name%:*}
    works train $name -o $made $grow --start-length 8 --grow-accuracy 0 --steps 12 --total-batch 64 --eval-every 100 --log-every 1
    has $made/metrics.jsonl '"length": 64'
    has $made/config.json "\"kind\": \"$made\""
    targets=$(sed -n 's/.*"tokens": \([0-9]*\).*/\1/p' $made/metrics.jsonl | tail -n 1)
    [ "$targets" -ge 300 ] && [ "$targets" -le 1600 ] || fail "$name: 12 updates of about 64 targets have $targets"
    works train $name -o $made-half $grow --start-length 8 --grow-accuracy 0 --steps 5 --total-batch 64 --eval-every 100
    works train --resume -o $made-half --steps 12
    cmp -s $made/model.safetensors $made-half/model.safetensors || fail "$name: a resumed run is another"
    works train $name -o $made-xl --context 32 --arch transformer-xl --memory 8 --channels 16 --heads 1 --layers 1 --steps 3 --threads 1
done
works train set262 -o run262 $small --steps 2

# ---------------------------------------------------------------- eval

begin "eval"
targets() { echo $(($(bytes "$1/$2.tokens") / 2 - ($(bytes "$1/$2.index") / 8 - 1))); }
works eval run --threads 1
has out '^bits per byte'
has out '^perplexity'
works eval run --json --threads 1
json out
for key in tokens loss bits_per_token bits_per_byte perplexity accuracy standard_error; do
    [ -n "$(number $key out)" ] || fail "no $key"
done
has out '"positions": \[\{'
has out '"contexts": \[\{'
equal "targets of the test split" "$(number tokens out)" "$(targets set test)"
close "bits per token" "$(number bits_per_token out)" "$(awk -v x="$(number loss out)" 'BEGIN { print x / log(2) }')" 1e-4
close "perplexity" "$(number perplexity out)" "$(awk -v x="$(number loss out)" 'BEGIN { print exp(x) }')" 1e-3
awk -v x="$(number bits_per_token out)" 'BEGIN { exit !(x > 0 && x < 1) }' || fail "300 updates did not learn the language"
works eval run --sweep latents --values 4,16,64 -o sweep.svg --tokens 2000 --threads 1
equal "lines of the sweep" "$(grep -c . out)" 4
has sweep.svg '^</svg>'
works eval run --sweep context --json --tokens 2000 --threads 1
json out
has out '"sweep": "context"'
same=$(grep -o '"tokens": [0-9]*' out | sort -u | grep -c .)
equal "numbers of targets in a sweep" "$same" 1
works eval copy --sweep latents --values 2,8 --threads 1
fails $usage 'latents.context' eval run --sweep depth
fails $usage '4,x' eval run --sweep latents --values 4,x
fails $usage 'expected 1 to' eval run --sweep latents --values 0
fails $config 'value 100000' eval run --sweep latents --values 16,100000
fails $config 'value 100000000' eval run --sweep context --values 100000000
fails $usage 'a curve takes --sweep' eval run -o sweep.svg
for option in --examples=3 --seed=4; do # of prepared documents there are as many as there are
    fails $usage "${option%=*}: is of generated documents, but those of .* are prepared" eval run $option
    fails $usage "${option%=*}: is of generated documents, but those of .* are prepared" eval run --sweep latents $option
    works eval copy --json $option
done
has out '"documents": 12,'
works eval copy --json --examples 3
has out '"documents": 3,'
works eval run --json --threads 1
sum=$(sed 's/.*"positions": \[//; s/\].*//' out | grep -o '"tokens": [0-9]*' | awk '{ n += $2 } END { print n }')
equal "targets of all position buckets" "$sum" "$(targets set test)"
loss=$(number loss out)
works eval run --json --threads 1 --batch 4
close "loss by batches of 4" "$(number loss out)" "$loss" 1e-5
for weights in bf16 int8; do
    works eval run --json --threads 1 --weights $weights
    close "loss with $weights weights" "$(number loss out)" "$loss" 0.02
done
fails $usage 'int4' eval run --weights int4
works eval run --json --threads 1 --latents 32 --context 128 --stride 7 --split validation
equal "targets of the validation split" "$(number tokens out)" "$(targets set validation)"
equal "latents" "$(number latents out)" 32
equal "context" "$(number context out)" 128
equal "stride" "$(number stride out)" 7
works eval run --json --threads 1 --data untested --split train --stride 64
equal "targets of another data set" "$(number tokens out)" "$(targets untested train)"
works eval run --json --threads 1 --tokens 640 --stride 32
equal "targets of --tokens" "$(number tokens out)" 640
works eval copy --json --threads 1
json out
equal "targets of 12 copy tasks" "$(number tokens out)" $((12 * 32))
works eval recall --json --threads 1 # of 64 tokens 2 pairs, of 120 there are 4, of 1000 there are 41
equal "targets of 12 documents" "$(number tokens out)" $((12 * 4 * 4))
for stride in 1 5 16; do
    works eval recall --json --threads 1 --data recall:1000 --examples 3 --stride $stride
    equal "targets of longer documents, by $stride" "$(number tokens out)" $((3 * 41 * 4))
    works eval recall --json --threads 1 --stride $stride --tokens 9
    equal "targets of --tokens, by $stride" "$(number tokens out)" 9
    works eval repeat --json --threads 1 --stride $stride --tokens 9
    equal "targets of --tokens, by $stride" "$(number tokens out)" 9
done
works eval recall --sweep latents --values 2,8 --threads 1
works attend recall -o recall.png --threads 1
works generate recall --length 4 --threads 1
fails $config 'latents' eval run --latents 300
fails $config 'stride' eval run --stride 65
fails $usage 'context' eval run --context -1
fails $usage 'batch' eval run --batch 0
fails $noinput 'nowhere: no such run' eval nowhere
fails $noinput 'nowhere: no such data set' eval run --data nowhere
fails $data 'text: not a run' eval text
fails $data 'tokenizer' eval run --data set262
fails $data 'untested: the test split has nothing' eval run --data untested
for context in 70368744177663 1000000000000000; do
    fails "$usage|$memory|$config" '.' eval run --batch 65536 --context $context --threads 1
done

# ---------------------------------------------------------------- score

begin "score"
works prepare text --train text/1.txt --test text/2.txt -o single
works eval run --json --threads 1 --data single --stride 24
loss=$(number loss out) count=$(number tokens out)
{ ids text/2.txt; echo 1; } >ids.txt # what the evaluation scores: the text and the end
works score run --tokens ids.txt --stride 24 --threads 1
equal "lines" "$(wc -l <out)" "$count"
cut -f 1 out >got
seq 0 $((count - 1)) | cmp -s - got || fail "the first column does not count from 0"
cut -f 2 out | cmp -s - ids.txt || fail "the second column is not the ids"
awk -F '\t' 'NF != 3 || $3 > 0 || $3 < -50 { exit 1 }' out || fail "the third column holds no log-probabilities"
close "mean of -log p" "$(awk '{ s -= $3 } END { printf "%.9f", s / NR }' out)" "$loss" 1e-4
head -c 200 text/2.txt >short
ids short >short.ids
works score run short --stride 1 --threads 1
cp out by-text
works score run --tokens short.ids --stride 1 --threads 1
cmp -s out by-text || fail "text and its ids score differently"
{ echo 2; cat short.ids; } >started.ids
works score run --tokens started.ids --stride 1 --threads 1
cmp -s out by-text || fail "a start token of one's own changes the scores"
works score run short --stride 1 --threads 1 --logits logits.safetensors
cmp -s out by-text || fail "--logits changes the scores"
works info logits.safetensors
has out 'logits +F32 +\[200, 259\]'
header=$(od -An -tu8 -N 8 logits.safetensors | tr -d ' ')
for row in 0 1 137; do
    od -An -v -tf4 -w4 -j $((8 + header + row * 259 * 4)) -N $((259 * 4)) logits.safetensors | awk -v id="$(sed -n "$((row + 1))p" short.ids)" '
        { x[NR - 1] = $1; if (NR == 1 || $1 > top) top = $1 }
        END { for (i = 0; i < NR; i++) s += exp(x[i] - top); printf "%.6f\n", x[id] - top - log(s) }' >got
    close "log-softmax of row $row" "$(cat got)" "$(sed -n "$((row + 1))p" by-text | cut -f 3)" 1e-4
done
: >nothing
works score run nothing
equal "scores of an empty file" "$(bytes out)" 0
for bad in '5 6 seven' '5 -6' '5 6.5' '99999999999999' '5 0x6'; do
    echo "$bad" >bad.ids
    fails $data 'bad.ids' score run --tokens bad.ids
done
echo '5 259' >bad.ids
fails $data 'bad.ids.*259.*vocabulary' score run --tokens bad.ids
fails $noinput 'nowhere' score run nowhere
fails $noinput 'text' score run text
fails $noinput "not a regular" score run strange/pipe
ln -s circle circle
fails $noinput 'circle' score run circle
fails $usage 'one file' score run
fails $usage 'one file' score run short --tokens short.ids
run "$perceiver" score run short --logits no/where.safetensors
equal "exit status of logits that cannot be written" $status $cantcreate

# ---------------------------------------------------------------- generate

begin "generate"
generate() { works generate run --threads 1 "$@"; }
generate --prompt 'the cat ' --length 300 --seed 7 --ignore-end
cp out seven
has err '300 tokens'
equal "bytes of 300 byte tokens" "$(bytes out)" 300
generate --prompt 'the cat ' --length 300 --seed 7 --ignore-end
cmp -s out seven || fail "the same seed wrote another text"
generate --prompt 'the cat ' --length 300 --seed 8 --ignore-end
! cmp -s out seven || fail "another seed wrote the same text"
for window in exact refill slide; do
    generate --prompt 'the cat ' --length 150 --window $window
    cp out $window
    generate --prompt 'the cat ' --length 150 --window $window
    cmp -s out $window || fail "--window $window: the same seed wrote another text"
done
generate --prompt 'the cat ' --length 300 --temperature 0 --seed 1
cp out greedy
generate --prompt 'the cat ' --length 300 --temperature 0 --seed 2
cmp -s out greedy || fail "--temperature 0 depends on the seed"
generate --prompt 'the cat ' --length 300 --top-k 1
cmp -s out greedy || fail "--top-k 1 is not the likeliest token"
generate --length 0
equal "bytes of --length 0" "$(bytes out)" 0
generate --prompt '' --length 20 --ignore-end
equal "bytes behind an empty prompt" "$(bytes out)" 20
generate --prompt-file text/3.txt --length 50 --temperature 0
check "no text behind a prompt longer than the context" [ -s out ]
printf 'the \377\303( cat\200 ' >invalid
generate --prompt-file invalid --length 20
generate --prompt "$(cat invalid)" --length 20 --echo
head -c "$(bytes invalid)" out | cmp -s - invalid || fail "--echo changed the prompt"
"$perceiver" generate run --threads 1 --prompt-file - --length 300 --temperature 0 2>err >out < <(printf 'the cat ')
cmp -s out greedy || fail "a prompt from standard input is another prompt"
stop=$(tail -c +100 greedy | head -c 4)
generate --prompt 'the cat ' --length 300 --temperature 0 --stop "$stop"
printf '%s' "$stop" >stop
awk -v RS='\001' -v stop="$stop" 'NR == FNR { all = $0; next } { got = $0 }
    END { at = index(all, stop); exit !(at > 0 && got == substr(all, 1, at - 1)) }' greedy out ||
    fail "--stop '$stop' did not end right in front of it"
has err 'stop text'
generate --prompt 'the cat ' --length 300 --temperature 0 -o story.txt
cmp -s story.txt greedy || fail "-o wrote another text"
equal "bytes on standard output beside -o" "$(bytes out)" 0
if command -v iconv >json.log; then
    generate --prompt 'every café sees ' --length 2000 --temperature 0.5
    at=$(grep -abo "$(printf '\303')" out | head -n 1 | sed 's/:.*//')
    check "no character of two bytes in 2000" [ -n "$at" ]
    for length in "$at" $((at + 1)) $((at + 2)); do # what ends within a character leaves it out
        generate --prompt 'every café sees ' --length "$length" --temperature 0.5
        iconv -f UTF-8 -t UTF-8 out >json.log 2>&1 || fail "the text is not UTF-8"
        equal "bytes of a text of $length" "$(bytes out)" $((length - (length == at + 1)))
    done
fi

for kind in bf16 int8; do
    works generate run --length 40 --temperature 0 --weights $kind --cache $kind --threads 1
    [ "$(bytes out)" -gt 30 ] || fail "nothing generated with $kind"
done

begin "generate: what it refuses"
fails $noinput 'nowhere: no such run' generate nowhere
fails $noinput 'nowhere' generate run --prompt-file nowhere
fails $noinput 'text' generate run --prompt-file text
fails $usage 'exclude' generate run --prompt a --prompt-file text/1.txt
fails $usage 'length' generate run --length -1
fails $usage 'temperature' generate run --temperature -1
fails $usage "window.*did you mean 'exact'" generate run --window exakt
fails $config 'latents' generate run --latents 257
fails $cantcreate 'no/where' generate run --length 2 -o no/where
lacks no
damaged() { # damaged STATUS PATTERN: the run x, which something was done to
    fails "$1" "$2" generate x --length 2
    fails "$1" "$2" eval x
    rm -rf x
}
fresh() { cp -r run x; }
fresh
truncate -s 100000 x/model.safetensors
damaged $data 'x/model.safetensors'
fresh
: >x/model.safetensors
damaged $data 'x/model.safetensors'
fresh
printf '\377' | dd of=x/model.safetensors bs=1 seek=3 conv=notrunc 2>json.log
damaged $data 'x/model.safetensors'
fresh
printf '\000\000\300\177' | dd of=x/model.safetensors bs=1 seek=$(($(bytes x/model.safetensors) - 4)) conv=notrunc 2>json.log
damaged $data 'x/model.safetensors.*not finite'
fresh
cp configured/model.safetensors x/model.safetensors
damaged $data 'x/model.safetensors.*tensor'
fresh
rm x/model.safetensors
damaged $noinput 'x/model.safetensors'
fresh
echo '{' >x/config.json
damaged $data 'x/config.json: not valid JSON'
fresh
sed -i 's/"vocab_size": 259/"vocab_size": 262/' x/config.json
damaged $data 'vocab_size'
fresh
sed -i 's/"format": "perceiver.c run"/"format": 257/' x/config.json
damaged $config "x/config.json: 'format' is no text"
fresh
sed -i 's/"format": "perceiver.c run"/"format": "a walk"/' x/config.json
damaged $config "x/config.json: 'format' is 'a walk', expected 'perceiver.c run'"
fresh
sed -i 's/"vocab_size": 259/"vocab_size": "259"/' x/tokenizer.json
damaged $data "x/tokenizer.json.*vocab_size"
fresh
echo '{"kind": "bites"}' >x/tokenizer.json
damaged $data 'bites'
no_leftovers

# ---------------------------------------------------------------- architectures, compare

png() { [ "$(head -c 4 "$1" | tail -c 3)" = PNG ] || fail "$1 is not a PNG file"; }
begin "architectures"
basic=${small/--latents 8 /} # what all have
for arch in transformer "sparse-transformer --sparse-stride 8" "transformer-xl --memory 24"; do
    name=${arch%% *}
    # shellcheck disable=SC2086 # several options
    works train set -o "arch-$name" $basic --arch $arch --steps 12 --eval-every 100
    works eval "arch-$name" --tokens 500 --json
    cp out "$name.json"
    json "$name.json"
    works generate "arch-$name" --length 100 --prompt "It was" --ignore-end
    works generate "arch-$name" --length 100 --prompt "It was" --ignore-end --window exact
    works score "arch-$name" text/1.txt
    works info "arch-$name"
    has out "$name"
    ! grep -Eq '^  (latents|query|initial_cross|self_reach|cross_heads) ' out || fail "info of a $name lists what it has not"
    ! grep -Eq '"(latents|query|prefix_dropout)":' "arch-$name/config.json" || fail "config.json of a $name holds what it has not"
    # shellcheck disable=SC2086
    works plan set $basic --arch $arch --probe 0
    ! grep -Eq '^latents|cross-attention' out || fail "plan of a $name counts latents"
    fails $usage "--latents: $name has no such setting, but perceiver-ar" generate "arch-$name" --latents 4 --length 1
    fails $usage "--latents: $name has no such setting" train -o "arch-$name" --resume --latents 4
    # shellcheck disable=SC2086
    works plan $basic --arch $arch --probe 0
    # shellcheck disable=SC2086
    works train set -o "half-$name" $basic --arch $arch --steps 12 --eval-every 100 --save-every 5
    rm -r "half-$name/checkpoints/step-00000012" "half-$name/model.safetensors"
    works train -o "half-$name" --resume
    cmp -s "arch-$name/model.safetensors" "half-$name/model.safetensors" ||
        fail "a resumed $name is another than one without interruption"
    works attend "arch-$name" text/1.txt -o map.png
    png map.png
    rm map.png
done
works eval arch-transformer-xl --tokens 500 --memory 48 --json
json out
fails $usage '--memory: transformer has no such setting, but transformer-xl' eval arch-transformer --memory 48
fails $config 'sparse.stride is 64, which is more than the context of 32' train set -o refused $basic --arch sparse-transformer \
    --sparse-stride 64 --steps 1
fails $config 'sparse.summary is 9' train set -o refused $basic --arch sparse-transformer --sparse fixed --sparse-stride 8 \
    --sparse-summary 9 --steps 1
fails $config 'start-length' train set -o refused $basic --arch transformer-xl --start-length 8 --steps 1
fails $config 'gathers its keys' generate arch-sparse-transformer --cache bf16 --length 1

begin "compare"
compare="$small --archs perceiver-ar,transformer@16,transformer-xl@32x2 --depths 1,2 --contexts 16,32,64"
# shellcheck disable=SC2086
works compare set $compare --dry-run
has err 'cost: 18 training steps'
# shellcheck disable=SC2086
works compare set -o compared $compare --minutes 0.06 --rates 0.001,0.003 --eval-every 1000
for file in cost.csv cost_time.svg cost_memory.svg cost_depth.svg quality.csv quality.svg index.html cells.jsonl; do
    [ -s "compared/$file" ] || fail "compared/$file is missing"
done
[ "$(grep -c ',measured,' compared/cost.csv)" = 18 ] || fail "compared/cost.csv: not 18 measured steps"
[ "$(grep -c ',test,' compared/quality.csv)" = 3 ] || fail "compared/quality.csv: not three architectures"
has compared/index.html 'the longest context is transformer'
has compared/index.html 'has the fewest bits per token'
has compared/index.html 'name="viewport"'
equal "wide tables and figures that scroll by themselves" "$(grep -c '<div class="scroll"><\(table\|svg\)' compared/index.html)" \
    "$(grep -c '<\(table\|svg\)' compared/index.html)"
# an interrupted one goes on: what is in the record is not measured again
cp compared/cells.jsonl before.jsonl
head -n 10 before.jsonl >compared/cells.jsonl
# shellcheck disable=SC2086
works compare set -o compared $compare --minutes 0.06 --rates 0.001,0.003 --cost-only --resume
[ "$(wc -l <compared/cells.jsonl)" = 18 ] || fail "resuming measured cells again, or left some out"
head -n 10 compared/cells.jsonl | cmp -s - <(head -n 10 before.jsonl) || fail "resuming changed the record"
# shellcheck disable=SC2086
fails $cantcreate 'compared: exists' compare set -o compared $compare --cost-only
# shellcheck disable=SC2086
works compare set -o limited $compare --index none --memory-limit 0.0003 --cost-only
has limited/cost.csv ',memory,'
has limited/index.html 'stops in front of [0-9]+ tokens: memory'
has limited/cost_memory.svg '>memory</text>'
# shellcheck disable=SC2086
fails $config 'no step fits into 0.0001 GiB' compare set -o refused $compare --memory-limit 0.0001 --cost-only
mkdir brief
for i in 1 2 3 4; do head -c 200 text/$i.txt >brief/$i.txt; done
works prepare text brief -o brief-set
# shellcheck disable=SC2086
fails $config 'can score the same targets' compare brief-set $compare --dry-run
fails $usage 'it is empty' compare set -o refused --depths ''
fails $usage "'y' is not a whole number" compare set -o refused --archs transformer@16xy
fails $usage "'x' is not a whole number" compare set -o refused --depths x
fails $usage 'does not grow' compare set -o refused --contexts 64,32
fails "$usage" "transformre" compare set -o refused --archs transformre
fails $usage '--sparse-stride: none of perceiver-ar, transformer has it, but sparse-transformer' compare set -o refused \
    --archs perceiver-ar,transformer --sparse-stride 8
fails $usage 'is there twice' compare set -o refused --archs transformer,transformer
fails $usage 'nothing to compare' compare set -o refused --cost-only --quality-only
fails $usage "'time' is not one of parameters" compare set -o refused --equal time
fails $usage 'memory-limit' compare set -o refused --memory-limit -1
lacks refused

# ---------------------------------------------------------------- info, bench

begin "attend"
works attend run text/1.txt -o map.png --size 40 --threads 1
png map.png
works attend grown -o copy.png --threads 1
png copy.png
has err 'queries 31 to 62'
fails $usage 'size' attend copy -o copy.png --size 0
fails $usage 'name a file' attend run -o none.png
fails $noinput 'nothing.txt' attend run nothing.txt -o none.png
no_leftovers

begin "what a prediction looked at"
narrow() { [ "$(LC_ALL=C.UTF-8 wc -L <out)" -le 80 ] || fail "a line of more than 80 columns"; }
whole() { iconv -f utf-8 -t utf-16 out >json.log 2>&1 || fail "half a character"; }
works train set -o indexed $small --near 9 --index 1,3 --index-places 4 --steps 4 --eval-every 4
works attend indexed text/1.txt --token 20 --top 3
has out '^behind token 20$'
has out '^index head of order 3, '
has out '^cross-attention, to the last 9 \[inputs\]$'
equal "the heading and three inputs" "$(sed -n '/^cross/,/^$/p' out | grep -c '\[')" 4
equal "the true one" "$(grep -c '<- it was this$' out)" 1
narrow
whole
works attend indexed text/1.txt --token 20 --top 3 --json
json out
equal "the position" "$(number token out)" 20
equal "its byte" "$(number id out)" "$(ids text/1.txt | sed -n 20p)"
equal "what followed" "$(sed 's/.*"followed"//' out | grep -o '"id": [0-9]*')" "\"id\": $(ids text/1.txt | sed -n 21p)"
works attend indexed text/1.txt # the last one
has out "^behind token $(bytes text/1.txt)$"
has out 'none followed$'
works attend indexed text/1.txt --token 0
has out '\[<start>\]$'
has out 'to the last 1 \[input\]$'
printf 'a caf\303\251, a caf\303\251, a caf\303' >cut.txt
works attend indexed cut.txt
has out 'caf\[\\xc3\]$'
has out 'caf\[.+\], a caf'
whole
narrow
"$perceiver" attend indexed - --token 3 <cut.txt >out 2>err || fail "a prediction within standard input"
has out 'a \[c\]$'
works attend indexed text/1.txt --token 20 -o map.png
png map.png
has out '^behind token 20$'
has err 'map.png: down: queries'
works attend indexed text/1.txt -o map.png
equal "bytes of a list that nobody asked for" "$(bytes out)" 0
works attend grown --token 40
has out '^behind token 40$'
works attend grown
has out '<- it was this'
fails $usage "--token: 100000, but text/1.txt has tokens 0 to $(bytes text/1.txt)," attend indexed text/1.txt --token 100000
fails $usage "--token: '-1'|--token: -1 is out of range" attend indexed text/1.txt --token=-1
fails $usage '--top: 0 is out of range' attend indexed text/1.txt --top 0
fails $usage 'list or the picture, not both' attend indexed text/1.txt --token 3 -o -
fails $usage 'standard input' attend indexed - --token 3 -o map.png
works train set -o plain-transformer $basic --arch transformer --index none --steps 2 --eval-every 4
fails $config 'nothing to list' attend plain-transformer text/1.txt --token 3
works attend arch-transformer text/1.txt --token 30
has out '^index head of order 2, '
! grep -q cross-attention out || fail "a transformer without a cross-attention has one"
fails $config 'first cross-attention' attend plain-transformer text/1.txt --token 30 -o refused.png
lacks refused.png
no_leftovers

begin "pieces of words"
if [ -e "$(dirname "$perceiver")/perceiver-sentencepiece.so" ]; then
    works prepare text text -o pieces --tokenizer sentencepiece:300
    [ -s pieces/sentencepiece.model ] || fail "no model in the data set"
    works train pieces -o worded $small --steps 4 --eval-every 4
    works eval worded --json
    json out
    has out '"bits_per_byte"'
    has out '"word_perplexity"'
    works generate worded --prompt "It was" --length 20 --ignore-end
    works score worded text/1.txt
    works prepare text text -o same --tokenizer pieces/sentencepiece.model
    cmp -s pieces/test.tokens same/test.tokens || fail "the same model gives other tokens"
    echo 'no model' >fake.model
    fails $data 'not a SentencePiece model' prepare text text -o refused --tokenizer fake.model
else
    PERCEIVER_PLUGINS=$work fails $config 'this plug-in is not there' prepare text text -o refused --tokenizer sentencepiece:300
fi
fails "$usage" 'whole number' prepare text text -o refused --tokenizer sentencepiece:two
lacks refused

begin "pictures"
mkdir pictures
for i in 0 1 2 3 4 5 6 7; do { cat map.png && echo $i; } >"pictures/$i.png"; done # no copies: what follows the end differs
head -c 100 map.png >pictures/cut.png
echo '<html>' >pictures/page.png
works prepare image pictures -o pixels --size 6 --order spiral
has err '^skipped 2 files'
has err 'pages?.png|cut.png'
[ "$(grep -c '"reason"' pixels/dataset.json)" = 2 ] || fail "expected two reasons in dataset.json"
equal "bytes of a split" "$(bytes pixels/test.tokens)" "$((109 * 2))"
works train pixels -o drawn $small --context 108 --steps 6 --eval-every 3
has drawn/config.json '"origin": "data"'
works eval drawn --json --tokens 200
json out
equal "bits per dimension" "$(number bits_per_dim out)" "$(number bits_per_token out)"
works generate drawn -o one.png --seed 3
png one.png
works generate drawn -o one-again.png --seed 3
cmp -s one.png one-again.png || fail "the same seed drew another picture"
works generate drawn -o grid.png --grid 3x2
png grid.png
works generate drawn -o completed.png --complete map.png pictures/1.png --keep 0.25
png completed.png
works score drawn map.png
[ "$(wc -l <out)" = 108 ] || fail "expected a line for each of 108 values"
works attend drawn map.png --token 50
has out ' \[[0-9]+\] '
narrow
works train pixels -o waves $small --context 108 --steps 2 --positions sinusoidal
works plan pixels $small --probe 0
fails $usage 'too few to split' prepare image map.png -o refused
fails $usage "'image' has no such setting|tokenizer 'bytes' has no such setting" prepare text text -o refused --size 5
fails $usage "not one of bytes, text, image" prepare pictures pictures -o refused
fails $usage "tokenizer 'image' is one for image" prepare text text -o refused --tokenizer image
fails $usage 'not a colour' prepare image pictures -o refused --background white
fails $noinput 'sideways' prepare image pictures -o refused --order sideways
fails $usage "not a whole number" prepare image pictures -o refused --order random:
fails $data 'none of the files to train on' prepare image text -o refused
fails $usage 'names the file' generate drawn
fails $usage '--prompt: not for image' generate drawn -o none.png --prompt x
fails $usage 'grid' generate drawn -o none.png --grid 4
fails $usage 'keep' generate drawn -o none.png --complete map.png --keep 2
fails $usage 'not for text' generate run --grid 2x2
fails $data 'neither a PNG' generate drawn -o none.png --complete text/1.txt
lacks refused
lacks none.png
no_leftovers

begin "music"
mkdir music
make_midi() { # make_midi STEP FILE: forty notes, one after the other
    printf 'MThd\0\0\0\006\0\0\0\001\0\140MTrk\0\0\001\104'
    for i in $(seq 0 39); do
        # shellcheck disable=SC2059
        printf "\\0\\220\\$(printf %o $((40 + i * $1 % 40)))\\100\\060\\200\\$(printf %o $((40 + i * $1 % 40)))\\0"
    done
    printf '\0\377\057\0'
}
for i in 1 3 7 9 11; do make_midi $i >music/$i.mid; done
head -c 200 music/1.mid >music/cut.mid
echo '<html>' >music/page.mid
works prepare midi --train music --validation music/1.mid --test music/3.mid -o events
has err '^skipped 4 files: 2 not of this kind, or damaged, 2 the same'
works prepare midi --train music --test music/3.mid -o events-389 --tokenizer midi-389
works train events -o played $small --steps 4 --eval-every 2
has played/report.html 'samples/step-00000004.mid'
works generate played -o song.mid --length 60
[ "$(head -c 4 song.mid)" = MThd ] || fail "song.mid is not a MIDI file"
png song.mid.png
mkdir again-music
for i in 1 2 3; do { cat song.mid && echo $i; } >again-music/$i.mid; done
works prepare midi again-music -o again-events # what was made can be read
works generate played -o longer.mid --prompt-file music/3.mid --length 20
[ "$(bytes longer.mid)" -gt 200 ] || fail "the prompt is not in longer.mid"
works eval played --json --tokens 100
json out
works score played music/7.mid
works train events-389 -o played-389 $small --steps 2
works generate played-389 -o song-389.mid --length 60
fails $data 'page.mid' generate played -o none.mid --prompt-file music/page.mid
fails $usage 'are for pictures' generate played -o none.mid --grid 2x2
lacks none.mid
no_leftovers

begin "sound"
mkdir sounds
make_wav() { # make_wav PATTERN: half a second, 8 bits, 8,000 samples a second
    printf 'RIFF\304\017\0\0WAVEfmt \020\0\0\0\001\0\001\0\100\037\0\0\100\037\0\0\001\0\010\0data\240\017\0\0'
    yes "$1" | head -c 4000
}
for i in az mzm azmb kyky zzaa; do make_wav $i >sounds/$i.wav; done
head -c 20 sounds/az.wav >sounds/cut.wav
echo '<html>' >sounds/page.wav
works prepare audio --train sounds --validation sounds/az.wav --test sounds/kyky.wav -o samples --rate 4000
has err '^skipped 4 files: 2 not of this kind, or damaged, 2 the same'
equal "bytes of a split" "$(bytes samples/test.tokens)" "$((2 * (2000 + 2)))"
works train samples -o heard $small --steps 4 --eval-every 4
has heard/report.html '<audio controls src="samples/step-00000004.wav"'
works eval heard --json --tokens 200
json out
has out '"bits_per_second"'
works generate heard -o said.wav --prompt-file sounds/az.wav --length 100
[ "$(head -c 4 said.wav)" = RIFF ] || fail "said.wav is not a WAV file"
png said.wav.png
works prepare audio --train sounds --test sounds/az.wav -o codes --codec rvq --rate 8000 --frame 64 --codebooks 3 --codes 16
has err 'kbit/s'
[ -s codes/codec.safetensors ] || fail "the data set does not hold its codebooks"
works train codes -o coded $small --steps 3
has coded/config.json '"origin": "data"'
works generate coded -o coded.wav --length 60
works score coded sounds/az.wav
works prepare audio sounds/az.wav -o alone --codec rvq --rate 8000 --frame 64 --codebooks 3 --codes 16 --split 50,25,25
for split in train validation test; do # each part begins with a code of the first codebook
    first=$(tokens alone/$split.tokens | sed -n 2p)
    [ "$first" -ge 3 ] && [ "$first" -lt 19 ] || fail "alone/$split.tokens begins with $first, expected 3 to 18"
done
works prepare audio --train sounds --test sounds/az.wav -o codes-again --codec rvq --rate 8000 --frame 64 --codebooks 3 --codes 16
cmp -s codes/codec.safetensors codes-again/codec.safetensors || fail "the same seed learned other codebooks"
fails $config 'come in pairs' prepare audio sounds -o refused --codec rvq --codes 15
fails $usage 'exclude each other' prepare audio sounds -o refused --codec rvq --tokenizer mulaw
fails $usage 'no such setting' prepare audio sounds -o refused --codebooks 3
fails $data 'page.wav' generate heard -o none.wav --prompt-file sounds/page.wav
lacks refused
lacks none.wav
no_leftovers

begin "info"
works info run
has out 'layers +2'
has out 'training, where'
! grep -q 'token_embedding.weight' out || fail "tensors nobody asked for"
has out 'data digest +[0-9a-f]{32}$'
digest=$(sed -n 's/^data digest *//p' out)
works info run --tensors
has out 'token_embedding.weight +F32 +\[259, 64\]'
has out 'tokenizer +bytes'
works info run --json
json out
works info set
has out 'test documents +1'
has out "^data digest +$digest\$" # that of the run, which was trained on it
has out 'tokenizer digest +[0-9a-f]{32}$'
works info set --json
json out
equal "tokens of the test split" "$(number test_tokens out)" "$(($(bytes set/test.tokens) / 2))"
works info run/checkpoints/step-00000300/optimizer.safetensors
has out '^  m\.token_embedding.weight'
works info run/model.safetensors --json
json out
equal "parameters" "$(number parameters out)" "$byte_parameters"
works info copy:64
works info recall:64 --json
json out
has out '"data": "recall"'
works info repeat:64
has out '^data +repeat$'
fails $data 'text/1.txt: not a safetensors file' info text/1.txt
fails $data 'nothing: not a safetensors file' info nothing
fails $data 'text: neither a run' info text
fails $noinput 'nowhere' info nowhere
printf '\100\000\000\000\000\000\000\000{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}' >wrap
fails $data 'wrap' info wrap

begin "bench"
works bench train --preset tiny --threads 1
has out '^name,.*step_seconds.*tokens_per_second'
has out ',gflops,|,gflops'
has out 'peak_bytes'
awk -F , 'NR == 1 { n = NF } NF != n { exit 1 } END { exit NR < 2 }' out || fail "the rows of the CSV differ in length"
equal "a row for each precision" "$(grep -c '^training step' out)" $((1 + half))
works bench train --preset tiny --threads 1 --json
json out
for key in step_seconds tokens_per_second gflops peak_bytes; do [ -n "$(number $key out)" ] || fail "no $key"; done
fails $usage "'nonsense' is not one of" bench nonsense

# ---------------------------------------------------------------- streams

begin "output that cannot be written"
full() { # full ARGUMENT...: standard output is a full disk
    last="$* >/dev/full"
    status=0
    "$perceiver" "$@" >/dev/full 2>err </dev/null || status=$?
    : >out
    [ $status = $io ] || fail "a full disk: expected exit status $io"
    has err '^perceiver .*write'
}
if [ -c /dev/full ]; then
    full info run
    full plan --preset tiny --probe 0
    full eval run --tokens 64 --threads 1
    full score run short --threads 1
    full generate run --length 20 --threads 1
fi
last="generate >&-"
status=0
"$perceiver" generate run --length 20 --threads 1 >&- 2>err </dev/null || status=$?
equal "exit status with a closed output" $status $io
last="train <&- >&- 2>&-"
status=0
"$perceiver" train set -o deaf $small --steps 20 --save-every 5 <&- >&- 2>&- || status=$?
equal "exit status of a training without streams" $status 0
cmp -s deaf/model.safetensors first/model.safetensors || fail "a training without streams made other weights"
! grep -rqa 'bits per token (' deaf/lock deaf/metrics.jsonl deaf/checkpoints || fail "messages went into files of the run"
while read -r line; do
    echo "$line" >line
    json line
done <deaf/metrics.jsonl
no_leftovers

finish
