#!/usr/bin/env bash
# What stands under the name of an output already: files give way, devices and pipes are written to as what they
# are, links are refused. Usage: tests/output.sh PERCEIVER
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"

make_texts
works prepare text text -o data
works train data -o run --context 32 --latents 8 --channels 16 --heads 2 --layers 1 --batch 2 --threads 1 --steps 2
printf 'the cat sees a dog.' >letter.txt

# what COMMAND writes to a regular file is what it writes to anything else
outputs() { # outputs TITLE ARGUMENT...: the output's name follows
    begin "outputs of $1"
    shift
    works "$@" plain
    mkfifo pipe
    cat pipe >piped &
    works "$@" pipe
    wait $!
    check "a pipe gets other bytes" cmp plain piped
    check "the pipe was replaced" [ -p pipe ]
    rm pipe

    works "$@" /dev/null
    check "/dev/null was replaced" [ -c /dev/null ]
    if [ "$1" != score ]; then # which prints there as well
        "$perceiver" "$@" /dev/stdout 2>err | cmp - plain || fail "/dev/stdout gets other bytes"
    fi
    ends "$io|$cantcreate" "$perceiver" "$@" /dev/full
    has err 'No space left on device'

    printf 'mine' >target
    ln -s target link
    ends "$cantcreate" "$perceiver" "$@" link
    has err "^perceiver $1: link: is a link"
    equal "the link's target" "$(cat target)" mine
    check "the link was replaced" [ -L link ]
    ln -sfn nowhere link
    ends "$cantcreate" "$perceiver" "$@" link
    check "a link that leads nowhere was replaced" [ -L link ]
    lacks nowhere

    works "$@" target
    check "a file gets other bytes" cmp plain target
    rm -f link target plain
    no_leftovers
}

outputs attend attend run letter.txt -o
outputs "generate, text" generate run --prompt "the " --length 20 -o
outputs score score run letter.txt --logits

begin "who waits hears the first signal"
hears() { # hears ARGUMENT...: waits for the other end of a pipe until a SIGTERM, which it does not miss
    local tries=0 caught=0
    last="$perceiver $*"
    mkfifo silent
    "$perceiver" "$@" <>silent >out 2>err &
    pid=$!
    while ! ((caught & 16384)); do # SIGTERM is caught
        tries=$((tries + 1))
        [ $tries -lt 1000 ] || fail "never waits"
        sleep 0.02
        caught=$((0x$(sed -n 's/^SigCgt:[[:space:]]*//p' /proc/$pid/status)))
    done
    sleep 0.5 # behind what it does before it waits
    kill -TERM $pid
    tries=0
    while [ -d /proc/$pid ]; do # the shell has looked after it, or not yet
        ! grep -qs '^State:[[:space:]]*Z' /proc/$pid/status || break
        tries=$((tries + 1))
        [ $tries -lt 1000 ] || fail "does not hear it"
        sleep 0.02
    done
    status=0
    wait $pid || status=$?
    pid=""
    equal "exit status" $status $interrupted
    has err 'interrupted while waiting for'
    rm silent
}
mkfifo unread
hears score run -
hears score run letter.txt --logits unread
hears attend run - -o map.png
hears attend run letter.txt -o unread
hears generate run --prompt-file - -o written
hears generate run --length 5 -o unread
exec 8<>unread
hears score run text/1.txt --logits unread # which is read by nobody, once it is full
exec 8<&-
mkfifo unread.svg
hears eval run --sweep latents --values 2,4 -o unread.svg
lacks map.png
lacks written

begin "a run's own files are never written into something else"
for file in report.html metrics.jsonl model.safetensors config.json tokenizer.json; do
    cp -r run own
    rm own/$file
    mkfifo own/$file
    run timeout 60 "$perceiver" train -o own --resume --steps 4
    [ $status != 124 ] || fail "hangs at $file"
    has err "own/$file: (is no|not a) regular file"
    check "$file was replaced" [ -p own/$file ]
    rm -r own
done

begin "standard output that is full"
run bash -c '"$0" score run letter.txt >/dev/full' "$perceiver"
equal "exit status" $status $io
has err 'cannot write to standard output: No space left on device'
finish
echo "output: fine"
