#!/usr/bin/env bash
# Nothing is lost, and nothing of others is touched: signals and limits that end a training, runs that are moved away,
# links and foreign files in a run, outputs that cannot be written. Usage: tests/keeping.sh PERCEIVER
# What broken disks and kills do is in faults.sh.
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"

start() { # start ARGUMENT...: the program in the background
    last="$perceiver $*"
    "$perceiver" "$@" >out 2>err </dev/null &
    pid=$!
}
ended() { # ended STATUS: waits for what was started
    status=0
    wait "$pid" 2>/dev/null || status=$?
    pid=""
    [[ $status =~ ^($1)$ ]] || fail "expected exit status $1"
}
until_saved() { # until_saved RUN: any checkpoint, for early ones go again; at most 20 seconds
    local tries=0
    until compgen -G "$1/checkpoints/step-*/manifest.json" >names; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || fail "$1 is not saved"
        sleep 0.05
    done
}
in_manifest() { grep -o "\"$1\": [0-9]*" "$2/checkpoints/step-$(printf %08d "$3")/manifest.json" | sed 's/.*: //'; }

make_texts
works prepare text text -o data
small="--context 32 --latents 8 --channels 16 --heads 2 --layers 1 --batch 2 --threads 1"
long="$small --steps 1000000 --save-every 50 --eval-every 1000000"

begin "a closed terminal"
# shellcheck disable=SC2086 # several options
start train data -o hung $long
until_saved hung
kill -HUP "$pid"
ended $interrupted
has err 'saved, go on with --resume'
no_leftovers hung

begin "a limit on the size of files"
run bash -c "ulimit -f 8; exec '$perceiver' train data -o limited $small --channels 64 --steps 4"
[ $status = $io ] || fail "expected exit status $io"
has err 'nothing was saved'
no_leftovers

begin "a run that is moved away"
# shellcheck disable=SC2086
start train data -o moving $long
until_saved moving
mv moving moved
ended $io
[ ! -e moving ] || fail "a run was made under the old name: $(ls moving)"
works train -o moved --resume --steps 1

begin "links and files of others in a run"
# shellcheck disable=SC2086
works train data -o mine $small --steps 4
: >victim # an empty one could be our own lock
rm -f mine/lock
ln -s ../victim mine/lock
fails "$cantcreate" 'mine/lock' train -o mine --resume --steps 6
equal "bytes of what the link leads to" "$(bytes victim)" 0
rm mine/lock
mkdir mine/old.tmp-backup mine/checkpoints/keep.tmp-12x
echo mine >mine/old.tmp-backup/file
works train -o mine --resume --steps 6
check "a folder of the user's was swept" [ -e mine/old.tmp-backup/file ]
check "a folder of the user's in checkpoints was swept" [ -d mine/checkpoints/keep.tmp-12x ]

begin "a page that cannot be written"
rm mine/report.html
mkdir mine/report.html
works train -o mine --resume --steps 12 --eval-every 2
equal "warnings" "$(grep -c 'report' err)" 2 # and the line that says where the report would be
check "the training did not go on" [ -e mine/checkpoints/step-00000012/manifest.json ]

begin "the best is the best"
# shellcheck disable=SC2086
works train data -o best $small --lr 0.01 --steps 40 --save-every 20 --eval-every 20
equal "the best update in the last checkpoint" "$(in_manifest best_step best 40)" 40
cp best/model.safetensors kept
works train -o best --resume --lr 5 --warmup 0 --steps 44 --eval-every 1
cmp -s kept best/model.safetensors || fail "worse weights replaced the best"

begin "an interrupted generation"
start generate best --length 100000000 --ignore-end -o endless
has_begun() { compgen -G 'endless.tmp-*' >names && sleep 0.3 && compgen -G 'endless.tmp-*' >names; } # and is no check
tries=0
until has_begun; do
    tries=$((tries + 1))
    [ $tries -lt 400 ] || fail "nothing is written"
    sleep 0.05
done
kill -TERM "$pid"
ended $interrupted
[ -z "$(ls | grep endless)" ] || fail "half a text is there: $(ls | grep endless)"

begin "outputs are looked at before the work"
mkdir folder
for command in "generate best --length 5" "attend best text/1.txt" "score best text/1.txt --logits"; do
    [[ $command == score* ]] || command="$command -o"
    # shellcheck disable=SC2086
    fails "$cantcreate|$noinput|$io" 'nowhere/x' $command nowhere/x
    equal "how often the name is said" "$(tail -n 1 err | grep -o 'nowhere/x' | wc -l)" 1
    # shellcheck disable=SC2086
    fails "$cantcreate" 'folder' $command folder
done
finish
echo "keeping: fine"
