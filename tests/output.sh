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
finish
echo "output: fine"
