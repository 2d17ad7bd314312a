#!/bin/bash
# How many updates a training makes in ten seconds alone, and beside a program that keeps one core busy, or two; with GNU
# OpenMP's own time to spin and with ours.
#
#     bench/busy_core.sh PERCEIVER DATASET [training options]
set -eu
perceiver=$1 dataset=$2
shift 2
folder=$(mktemp -d)
trap 'kill $busy 2>"$folder/log" || :; rm -rf "$folder"' EXIT
busy=""

updates() {
    rm -rf "$folder/run"
    timeout -s KILL 10 env "$1" "$perceiver" train "$dataset" -o "$folder/run" --steps 1000000 --eval-every 1000000 \
        --sample-every 1000000 "${@:2}" >"$folder/log" 2>&1 || :
    tr '\r' '\n' <"$folder/log" | grep -o 'update [0-9]*' | tail -n 1
}

keep_busy() { # a session of its own, as another program on a desktop is: sessions share a core equally
    setsid taskset -c "$1" sh -c 'while :; do :; done' &
    busy="$busy $!"
}

for spin in GOMP_SPINCOUNT=300000 --unset=GOMP_SPINCOUNT; do
    echo "$spin: alone $(updates $spin "$@")"
    keep_busy 1
    echo "$spin: one core shared $(updates $spin "$@")"
    keep_busy 0
    echo "$spin: two shared $(updates $spin "$@")"
    kill $busy
    wait $busy 2>"$folder/log" || :
    busy=""
done
