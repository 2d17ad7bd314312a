#!/usr/bin/env bash
# What one device has trained another goes on with, evaluates and continues, either way round.
# Usage: tests/devices.sh PERCEIVER ROOT [FOLDER of the CUDA plug-in]; without a device it is skipped (status 77).
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
if [ -n "${3:-}" ]; then
    PERCEIVER_PLUGINS=$(realpath "$3")
    export PERCEIVER_PLUGINS
fi
enter "$1"
export NO_COLOR=1 OMP_NUM_THREADS=1

begin "devices"
works info --devices
if ! grep -q 'auto is cuda' out; then
    skip "$(grep cuda out | head -n 1)"
    exit 77
fi
! "$perceiver" bench --precision bf16 --help >/dev/null # the command exists
begin "a device has a name"
fails $config 'cuda:7' eval none --device cuda:7 2>/dev/null || true

make_texts
works prepare text text -o set
small="--context 32 --latents 8 --channels 16 --heads 2 --layers 1 --batch 2 --threads 1 --warmup 2 --schedule constant
    --eval-every 1000000 --sample-every 1000000 --eval-tokens 64 --save-minutes 0 --log-every 1"
