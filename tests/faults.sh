#!/usr/bin/env bash
# The program as its operator meets it: signals, kills, full and broken disks, damaged checkpoints, two
# processes on one run, losses that are not finite, little memory. Usage: tests/faults.sh PERCEIVER
#
# What must hold throughout: a run always loads from its newest whole checkpoint, and what comes out in the
# end equals an uninterrupted training bit for bit. The first check that does not hold ends the script with
# the command, its exit status and its output. Checks that a machine does not allow print SKIP.
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"
mounted=""
leave() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    [ -z "$mounted" ] || umount "$mounted" || true
    rm -rf "$work"
}
under_strace
RANDOM=7 # from here on the same numbers in every run

# ---------------------------------------------------------------- helpers

start() { # start ARGUMENT...: in the background; its process id in $pid
    last="$perceiver $*"
    "$perceiver" "$@" >out 2>err </dev/null &
    pid=$!
}
ended() { # waits for what was started
    status=0
    wait "$pid" 2>/dev/null || status=$?
    pid=""
}
wait_for() { # wait_for COMMAND...: until it succeeds, at most 20 seconds
    local tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 1000 ] || fail "waited in vain for: $*"
        sleep 0.02
    done
}

has_not() { ! grep -Eq -- "$2" "$1" || fail "expected $1 to have no '$2'"; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }

name_of() { printf 'checkpoints/step-%08d' "$1"; }
newest() { # newest RUN: the step of its newest checkpoint, 0 when there is none
    # shellcheck disable=SC2012
    ls "$1/checkpoints" 2>/dev/null | sed -n 's/^step-0*\([0-9][0-9]*\)$/\1/p' | sort -n | tail -n 1 | grep . || echo 0
}
logged() { # logged RUN: the last step in its metrics
    { cat "$1/metrics.jsonl" 2>/dev/null || true; } | grep '}$' | grep -o '"step": [0-9]*' | tail -n 1 | grep -o '[0-9]*$' || echo 0
}
has_logged() { [ "$(logged "$1")" -ge "$2" ]; }

# same_run A B STEP: their weights and moments after STEP updates are the same bits.
same_run() {
    same "$1/model.safetensors" "$2/model.safetensors"
    same "$1/$(name_of "$3")/optimizer.safetensors" "$2/$(name_of "$3")/optimizer.safetensors"
}
copy() { rm -rf "$2" && cp -r "$1" "$2"; }

make_texts
works prepare text text -o set

# A model of a few thousand weights, and nothing that takes time beside it.
small="--context 32 --latents 8 --channels 16 --heads 2 --layers 1 --batch 2 --threads 1 --warmup 5 --index 2,3 --index-width 8
    --eval-every 1000000 --sample-every 1000000 --eval-tokens 64 --save-minutes 0"
endless="$small --schedule constant --steps 100000000 --log-every 1"

# ---------------------------------------------------------------- resume

# resumed_equals NAME FLAG...: 40 updates at once against 17, 12 and 11.
resumed_equals() {
    local name=$1
    shift
    works train set -o whole $small --schedule constant --steps 40 "$@"
    works train set -o parts $small --schedule constant --steps 17 "$@"
    works train -o parts --resume --steps 29
    has err 'resumed after update 17$'
    works train -o parts --resume --steps 40
    has err 'resumed after update 29$'
    [ "$(newest parts)" = 40 ] || fail "$name: the last checkpoint is $(newest parts), expected 40"
    same_run parts whole 40
    rm -rf parts
}

begin "resume equals an uninterrupted training"
resumed_equals plain
mv whole model
for flags in '--ema 0.9' '--dropout 0.1' '--prefix-dropout 0.5' '--latent-dropout 0.2' '--total-batch 70' \
    '--weight-decay 0.1 --label-smoothing 0.1' '--lr 0.003000000142492454'; do
    resumed_equals "$flags" $flags
    ! cmp -s whole/model.safetensors model/model.safetensors || fail "$flags changes nothing"
    rm -rf whole
done
resumed_equals recomputed --recompute all
rm -rf whole model

begin "resume: learning rate over the whole run, kernels, threads"
works train set -o whole $small --schedule cosine --steps 40 --save-every 17 --keep 10
copy whole parts
rm -rf "parts/$(name_of 34)" "parts/$(name_of 40)" parts/model.safetensors # as killed after update 17
works train -o parts --resume
has err 'resumed after update 17$'
same_run parts whole 40
equal "lines of metrics.jsonl for update 30" "$(grep -c '"step": 30,.*"lr"' parts/metrics.jsonl)" 1
rm -rf whole parts
PERCEIVER_KERNELS=plain resumed_equals plain-kernels
if "$perceiver" --version | grep -q 'kernels: plain'; then
    skip "this machine has the plain kernels alone"
else
    works train -o whole --resume --steps 41
    has err 'trained with plain'
fi
rm -rf whole
for threads in 1 2; do
    works train set -o threads-$threads --preset tiny --steps 12 --eval-tokens 64 --threads $threads
done
same_run threads-1 threads-2 12

# ---------------------------------------------------------------- signals

begin "SIGINT and SIGTERM save and end with 75"
for signal in INT TERM; do
    start train set -o run $endless
    wait_for has_logged run 20
    kill -$signal "$pid"
    ended
    equal "exit status after SIG$signal" $status $interrupted
    has err '^perceiver train: stopped after update [0-9]+; saved, go on with --resume$'
    step=$(newest run)
    check "saved update $step, but $(logged run) are done" [ "$step" -ge "$(logged run)" ]
    no_leftovers run
    works eval run --tokens 64 --threads 1
    works train -o run --resume --steps $((step + 3))
    has err "resumed after update $step\$"
    equal "last checkpoint" "$(newest run)" $((step + 3))
    rm -rf run
done
works train set -o whole $small --steps 4000
start train set -o parts $small --steps 4000 --log-every 1
wait_for has_logged parts 200
kill -TERM "$pid"
ended
equal "exit status after SIGTERM" $status $interrupted
works train -o parts --resume
same_run parts whole 4000
rm -rf whole parts

begin "a second signal ends at once"
start train set -o run $endless --batch 40000 # a pass of seconds, which hears nothing
wait_for [ -e run/metrics.jsonl ]
sleep 0.1
kill -TERM "$pid"
sleep 0.3
check "the first signal did not wait for the pass" kill -0 "$pid"
kill -TERM "$pid"
before=$SECONDS
ended
equal "exit status" $status 143
check "it took $((SECONDS - before)) seconds" [ $((SECONDS - before)) -le 2 ]
works train -o run --resume --steps 2 --batch 2
equal "last checkpoint" "$(newest run)" 2
rm -rf run

begin "SIGUSR1 saves and goes on"
start train set -o run $endless
wait_for has_logged run 20
equal "checkpoints before" "$(newest run)" 0
kill -USR1 "$pid"
saved() { [ "$(newest run)" -gt 0 ]; }
wait_for saved
step=$(newest run)
wait_for has_logged run $((step + 20))
check "the training ended" kill -0 "$pid"
kill -TERM "$pid"
ended
equal "exit status after SIGTERM" $status $interrupted
check "no later checkpoint" [ "$(newest run)" -gt "$step" ]
start eval run --split train --stride 1 --threads 1
sleep 0.4
kill -USR1 "$pid" || fail "the evaluation was over too early"
ended
equal "exit status of an evaluation after SIGUSR1" $status 0
start eval run --split train --stride 1 --threads 1
sleep 0.4
kill -TERM "$pid" || fail "the evaluation was over too early"
ended
equal "exit status of an evaluation after SIGTERM" $status $interrupted
start plan --preset tiny --probe 1000 --threads 1
catches() { # SIGTERM, and no longer as the shell that the program comes from
    [ "$(cat "/proc/$pid/comm")" = perceiver ] && ((0x$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status") & 16384))
}
wait_for catches
kill -TERM "$pid"
ended
equal "exit status of a plan after SIGTERM" $status $interrupted
start generate run --length 100000000 --ignore-end --threads 1 -o story
writing() { ls story.tmp-* >names 2>&1; }
wait_for writing
kill -TERM "$pid"
ended
check "an interrupted text has its final name" [ ! -e story ]
rm -rf run story.tmp-*

begin "kill -9 at random moments"
killed="$small --steps 16000 --save-every 200 --log-every 1"
works train set -o whole $killed
before=0
start train set -o run $killed
for round in 1 2 3 4 5 6 7 8 9 10; do
    sleep 0.$((RANDOM % 20 + 10))
    kill -9 "$pid" 2>/dev/null || true
    ended
    has_not err 'passed over'
    step=$(newest run)
    check "round $round: update $step is the newest, $before was" [ "$step" -ge "$before" ]
    check "round $round: $(logged run) updates were done, but the newest checkpoint is $step" [ $(($(logged run) - step)) -le 200 ]
    [ ! -e run/model.safetensors ] || works eval run --tokens 64 --threads 1
    before=$step
    start train -o run --resume
done
ended
[ $status = 0 ] || fail "expected success"
has_not err 'passed over'
same_run run whole 16000
no_leftovers run
awk 'match($0, /"step": [0-9]+/) { s = substr($0, RSTART + 8, RLENGTH - 8) + 0; if (s < last) exit 1; last = s }
    END { exit last != 16000 }' run/metrics.jsonl || fail "metrics.jsonl: the steps do not rise to the last one"
rm -rf run whole

# ---------------------------------------------------------------- system calls

works train set -o straight $small --schedule constant --steps 9
works train set -o base $small --schedule constant --steps 4 --save-every 2
saves="--resume --save-every 1"

can_strace() { command -v strace >names 2>&1 && strace -f -qq -o trace true 2>names; }

# traced CALL ARGUMENT...: the calls of one kind go to the file trace.
traced() {
    local call=$1
    shift
    ends 0 strace -f -qq -y -o trace -e "trace=?$call" "$perceiver" "$@"
}
# injected CALL WHAT STATUS ARGUMENT...
injected() {
    local call=$1 what=$2 expected=$3
    shift 3
    ends "$expected" strace -f -qq -o trace -e "trace=?$call" -e "inject=?$call:$what" "$perceiver" "$@"
}
first_call() { grep -n "$1" trace | head -n 1 | cut -d : -f 1; }

begin "a kill at system calls of a save"
if can_strace; then
    points=0
    for call in openat write fsync rename renameat renameat2 unlink unlinkat rmdir; do
        copy base x
        traced $call train -o x $saves --steps 6
        total=$(wc -l <trace)
        [ "$total" -gt 0 ] || continue
        at=$(first_call '/x/\|"x/') || continue
        stride=$(((total - at) / 9 + 1))
        for (( ; at <= total; at += stride)); do
            copy base x
            injected $call "signal=KILL:when=$at" 137 train -o x $saves --steps 6
            works train -o x --resume --steps 9
            has_not err 'passed over'
            has err 'resumed after update [4-6]$'
            same_run x straight 9
            no_leftovers x
            points=$((points + 1))
        done
    done
    check "only $points kills" [ $points -ge 30 ]
else
    skip "strace cannot trace here"
fi

begin "a save that fails"
if can_strace; then
    for fault in write/ENOSPC write/EIO fsync/EIO fsync/ENOSPC rename/EIO mkdir/ENOSPC openat/EMFILE; do
        call=${fault%/*} error=${fault#*/}
        copy base x
        traced "$call" train -o x $saves --steps 6
        at=$(first_call 'x/checkpoints/step-00000005.tmp') || { skip "no $call here"; continue; }
        copy base x
        injected "$call" "error=$error:when=$at" 0 train -o x $saves --steps 9 # one failure: goes on
        has err "^cannot save: x/checkpoints/step-00000005.*: [A-Z]"
        same_run x straight 9
        no_leftovers x
        check "the best or the last checkpoints are gone" [ -d "x/$(name_of 8)" ]
        [ "$call" != write ] || continue # it would hit the messages too
        copy base x
        injected "$call" "error=$error:when=$at+" $io train -o x $saves --steps 9
        has err '^perceiver train: saving failed 3 times: .*x/checkpoints/step-0000000'
        equal "newest checkpoint" "$(newest x)" 4
        [ "$call" = openat ] || no_leftovers x # without open files nothing can be cleared away
        works eval x --tokens 64 --threads 1
        copy base x
        injected "$call" "error=$error:when=$at+" $io train -o x $saves --steps 5 # nothing left to try again
        has err '^perceiver train: .*x/checkpoints/step-00000005'
        works train -o x --resume --steps 9
        has err 'resumed after update 4$'
        same_run x straight 9
        no_leftovers x
    done
else
    skip "strace cannot trace here"
fi
limited() (
    trap '' XFSZ
    ulimit -f 200 # units of 512 or 1024 bytes: the optimizer's file is too long, or none is
    exec "$perceiver" "$@"
)
copy base x
if [ "$(bytes "base/$(name_of 4)/optimizer.safetensors")" -gt 102400 ]; then
    limited=$( (ulimit -f 200 && dd if=/dev/zero of=long bs=1000 count=150 2>names) && echo 0 || echo 1)
    rm -f long
    [ "$limited" = 1 ] || limited() (
        trap '' XFSZ
        ulimit -f 100
        exec "$perceiver" "$@"
    )
    ends $io limited train -o x $saves --steps 9
    has err '^cannot save: x/checkpoints/step-00000005.*optimizer.safetensors: cannot write at byte [0-9]+: File too large'
    has err '^perceiver train: saving failed 3 times'
    equal "newest checkpoint" "$(newest x)" 4
    works train -o x --resume --steps 9
    same_run x straight 9
fi

begin "a full disk"
mkdir disk
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=600k none disk 2>names; then
    mounted=$work/disk
    works train set -o whole $small --schedule constant --steps 60
    ends $io "$perceiver" train set -o disk/run $small --schedule constant --steps 60 --save-every 5 --keep 3
    has err '^cannot save: disk/run/checkpoints.*(bytes are free, a checkpoint needs [0-9]+|No space left)'
    has err '^perceiver train: saving failed 3 times: disk/run'
    step=$(newest disk/run)
    check "no checkpoint" [ "$step" -ge 5 ]
    works eval disk/run --tokens 64 --threads 1
    mount -o remount,size=8m disk
    works train -o disk/run --resume
    has err "resumed after update $step\$"
    same_run disk/run whole 60
    no_leftovers disk/run
    rm -rf disk/run whole
    mount -o remount,size=16k disk
    dd if=/dev/zero of=disk/ballast bs=1k count=64 2>names || true
    run "$perceiver" train set -o disk/run $small --steps 5 # fails before it begins, or at its save
    check "a full disk gave success" [ $status = $io ] || [ $status = $cantcreate ]
    run "$perceiver" prepare text text -o disk/set
    check "a full disk gave success" [ $status = $io ] || [ $status = $cantcreate ]
    has err 'disk/set'
    check "half a data set has its final name" [ ! -e disk/set ]
    no_leftovers disk
    umount disk
    mounted=""
else
    skip "a small disk needs root and mount"
fi

# ---------------------------------------------------------------- damaged checkpoints

works train set -o whole $small --schedule constant --steps 30 --save-every 10 --keep 3
copy whole base
rm -f base/model.safetensors

flip() { # flip FILE BYTE BIT
    local old
    old=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059
    printf "\\$(printf %03o $((old ^ 1 << $3)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>names
}
# passed_over NAME: the run x goes on from the middle checkpoint, says why, and ends as it should.
passed_over() {
    works train -o x --resume
    has err "^passed over a checkpoint: x/$(name_of 30)/.*$1"
    has err 'resumed after update 20$'
    same_run x whole 30
}

begin "damaged checkpoints are passed over"
for file in model.safetensors optimizer.safetensors manifest.json; do
    size=$(bytes "base/$(name_of 30)/$file")
    for length in 0 $((size / 2)) $((size - 2)); do # the last byte of a manifest is a line end
        copy base x
        truncate -s "$length" "x/$(name_of 30)/$file"
        passed_over $file
    done
    copy base x
    echo more >>"x/$(name_of 30)/$file"
    [ $file = manifest.json ] && sed -i '$d' "x/$(name_of 30)/$file" && echo '{}' >>"x/$(name_of 30)/$file"
    passed_over $file
    copy base x
    rm "x/$(name_of 30)/$file"
    passed_over $file
    for ((i = 0; i < 12; i++)); do
        copy base x
        flip "x/$(name_of 30)/$file" $(((RANDOM * 32768 + RANDOM) % (size - 1))) $((RANDOM % 8))
        passed_over "$file"
    done
done
for edit in 's/"step": 30,/"step": 31,/' 's/"tokens": 4/"tokens": 5/' 's/"best_step": [0-9]*/"best_step": 7/' \
    's/"version": [0-9]*/"version": 999/' 's/"seed": 1/"seed": 2/'; do
    copy base x
    sed -i "$edit" "x/$(name_of 30)/manifest.json"
    ! cmp -s "x/$(name_of 30)/manifest.json" "base/$(name_of 30)/manifest.json" || fail "$edit changes nothing"
    passed_over manifest.json
done
rm -rf x

begin "what was damaged is written again, and the good ones are kept"
copy base x
truncate -s 100 "x/$(name_of 30)/optimizer.safetensors"
works train -o x --resume
works train -o x --resume
has err 'resumed after update 30$'
has_not err 'passed over'
copy base x
truncate -s 100 "x/$(name_of 30)/optimizer.safetensors"
truncate -s 100 "x/$(name_of 20)/manifest.json"
works train -o x --resume --steps 15 --keep 2
has err 'resumed after update 10$'
works train -o x --resume --steps 30
has err 'resumed after update 15$'
same_run x whole 30

begin "no checkpoint left: 65, and nothing is lost"
unusable() { # what was done to the checkpoints of x is beyond repair
    copy x y
    ends $data "$perceiver" train -o x --resume
    has err '^perceiver train: no checkpoint can be used: x/checkpoints/step-'
    equal "lines about checkpoints passed over" "$(grep -c '^passed over a checkpoint: ' err)" 3
    has_not err 'starting from the beginning'
    diff -r x/checkpoints y/checkpoints >names || fail "the checkpoints have changed"
}
for file in model.safetensors optimizer.safetensors manifest.json; do
    copy base x
    rm x/checkpoints/*/$file
    unusable
    copy base x
    for one in x/checkpoints/*; do truncate -s 100 "$one/$file"; done
    unusable
done
copy base x
sed -i 's/"tokens": /"tokenz": /' x/checkpoints/*/manifest.json
unusable
copy base x
sed -i 's/"version": [0-9]*/"version": "two"/' x/checkpoints/*/manifest.json
unusable
works train set -o foreign $small --schedule constant --steps 40 --seed 2
copy base x
cp -r "foreign/$(name_of 40)" x/checkpoints
works train -o x --resume
has err "^passed over a checkpoint: x/$(name_of 40)/manifest.json: .*another run"
has err 'resumed after update 30$'
same_run x whole 30
rm -rf x y foreign

begin "leftovers of interrupted saves are swept"
copy base x
mkdir "x/$(name_of 50).tmp-123"
echo half >"x/$(name_of 50).tmp-123/model.safetensors"
echo half >x/model.safetensors.tmp-123
works train -o x --resume
has err 'resumed after update 30$'
no_leftovers x
same_run x whole 30

# ---------------------------------------------------------------- two processes, permissions

begin "two trainings in one folder"
start train set -o run $endless
wait_for has_logged run 5
owner=$pid
ends $cantcreate "$perceiver" train -o run --resume
has err "^perceiver train: run.*: in use by process $owner on "
ends $cantcreate "$perceiver" train set -o run $small --steps 5
check "the first training has ended" kill -0 "$pid"
kill -TERM "$pid"
ended
equal "exit status of the first" $status $interrupted
works train -o run --resume --steps $(($(newest run) + 1))
rm -rf run
if can_strace; then # both find no folder; the slower one must leave the other's alone
    strace -f -qq -o trace -e 'trace=?mkdir,?mkdirat' -e 'inject=?mkdir,?mkdirat:delay_enter=1500000' \
        "$perceiver" train set -o run $small --steps 30 >names 2>slow &
    slow=$!
    sleep 0.4
    start train set -o run $endless
    wait_for has_logged run 5
    status=0
    wait $slow || status=$?
    equal "exit status of the slower one" $status $cantcreate
    check "the run of the faster one is gone" [ -s run/config.json ]
    kill -TERM "$pid"
    ended
    equal "exit status of the faster one" $status $interrupted
    works train -o run --resume --steps $(($(newest run) + 1))
    rm -rf run
fi

begin "a data set that is cut short while it is in use"
cp -r set cut
start train cut -o run $endless --save-every 5
wait_for has_logged run 20
truncate -s 0 cut/train.tokens
ended
equal "exit status" $status $io
has err '^perceiver: a file in use was cut short'
step=$(newest run)
fails_to_go_on() { ends $data "$perceiver" train -o run --resume && has err 'cut/train.tokens: 0 bytes'; }
fails_to_go_on
works train set -o run --resume --steps $((step + 2))
has err "resumed after update $step\$"
no_leftovers run
rm -rf run cut

begin "a run that cannot be written"
as_nobody() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    chmod 755 "$work"
    as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
fi
copy whole x
chmod -R a+rX,a-w x
if as_nobody "$perceiver" --version >names 2>&1; then
    copy x y
    for arguments in 'eval x --tokens 64' 'generate x --length 5' 'score x text/8.txt --stride 8' 'info x'; do
        ends 0 as_nobody "$perceiver" $arguments
    done
    ends "$cantcreate|$io" as_nobody "$perceiver" train -o x --resume --steps 40
    has err '^perceiver train: x/.*: (Permission denied|Read-only file system)'
    ends $cantcreate as_nobody "$perceiver" train set -o x/new $small --steps 5
    has err '^perceiver train: x/new: '
    diff -r x y >names || fail "the run has changed"
    chmod -R u+w x y
    rm -rf x y
    works train set -o x $small --schedule constant --steps 10 # its checkpoints' folder turns read-only midway
    chmod -R a+rwX x set
    chmod 555 x/checkpoints
    if as_nobody test ! -w x/checkpoints; then
        ends $io as_nobody "$perceiver" train -o x $saves --steps 30
        has err '^cannot save: x/checkpoints/step-00000011.*: Permission denied'
        has err '^perceiver train: saving failed 3 times: x/checkpoints'
    fi
    chmod 755 x/checkpoints
    works train -o x --resume --steps 30
    has err 'resumed after update 10$'
    same_run x whole 30
else
    skip "another user cannot run the program"
fi
rm -rf x

# ---------------------------------------------------------------- numbers and memory

begin "a loss that is not finite"
wild="$small --steps 200 --lr 10 --clip 0 --weight-decay 10 --warmup 20"
ended_wild() { # ended_wild FLAG...: ends with 70, and says where it began and what stays
    ends $numeric "$perceiver" train set -o run $wild "$@"
    has err '^update [0-9]+: loss .*not finite'
    began=$(sed -n 's/^update \([0-9]*\): loss .*not finite.*/\1/p' err | head -n 1)
    tail -n 1 err | grep -Eq '^perceiver train: .*update [0-9]+.*(checkpoint of update [0-9]+ is kept|nothing was saved)' ||
        fail "no reason that helps"
}
ended_wild
has err "not finite since update $began;"
equal "checkpoints" "$(newest run)" 0
check "what the update was trained on is not recorded" [ -s run/nonfinite-*.txt ]
rm -rf run
ended_wild --save-every 3
step=$(newest run)
check "the newest checkpoint is of update $step, but it was not finite from $began on" [ "$step" -gt 0 -a "$step" -lt "$began" ]
no_leftovers run
ends "0|$numeric" "$perceiver" eval run --tokens 64 --threads 1 # weights that are finite may be too large all the same
works train -o run --resume --steps $((step + 1)) --lr 0 --weight-decay 0
has err "resumed after update $step\$"
rm -rf run
ended_wild --eval-every 10
rm -rf run

begin "limited memory"
enough=0 refused=0
for limit in 60000 200000 1000000 1080000 1100000 1110000 1120000 1130000 1140000 1160000 1180000 1220000 1300000 1500000 \
    1800000 2100000 2300000 2400000 3000000; do
    # shellcheck disable=SC2016
    limited='ulimit -v $0 && exec "$@"'
    bash -c "$limited" $limit "$perceiver" --version >names 2>&1 || continue
    ends "0|$memory" bash -c "$limited" $limit "$perceiver" train set -o run --preset tiny --steps 2 --eval-tokens 64 --threads 2
    if [ $status = $memory ]; then
        tail -n 1 err | grep -Eq '^perceiver train: .*(memory|needs [0-9.]+ GiB)' || fail "no clear message"
        check "a training without memory left a folder" [ ! -e run ]
        refused=$((refused + 1))
    else
        enough=$((enough + 1))
    fi
    rm -rf run
    for arguments in 'eval whole --tokens 64' 'generate whole --length 5'; do
        ends "0|$memory" bash -c "$limited" $limit "$perceiver" $arguments --threads 2
        [ $status = 0 ] || tail -n 1 err | grep -Eq '^perceiver [a-z]+: .*memory' || fail "no clear message"
    done
done
if [ $enough = 0 ]; then skip "the program does not run with limited addresses"
else check "no limit was too low" [ $refused -gt 0 ]; fi

finish
