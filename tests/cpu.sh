#!/usr/bin/env bash
# What the program takes of a machine, threads and memory, and what it says while it measures: tests/cpu.sh PERCEIVER
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"
unset OMP_NUM_THREADS OMP_WAIT_POLICY
under_strace
small="--context 64 --latents 16 --channels 16 --heads 2 --layers 1 --batch 2"

begin "at most as many threads as cores"
core=$(taskset -cp $$ | sed 's/.*[ ,-]//')
# shellcheck disable=SC2086
ends 0 taskset -c "$core" "$perceiver" train copy:16 -o one $small --steps 8 --threads 99
has err '^--threads 99: more than the cores here, takes 1$'
# shellcheck disable=SC2086
ends 0 taskset -c "$core" "$perceiver" train copy:16 -o two $small --steps 8 --threads 1
check "one thread is not more than the cores" test "$(grep -c 'more than the cores' err)" = 0
check "results do not depend on it" cmp one/model.safetensors two/model.safetensors
if command -v strace >strace.log; then
    # shellcheck disable=SC2086
    ends 0 taskset -c "$core" strace -f -e trace=clone,clone3 -o calls \
        "$perceiver" eval one --split test --threads 99 --tokens 64
    check "no thread is made for one core" test "$(grep -c 'clone' calls)" = 0
else
    skip "strace is not there"
fi

begin "memory is reserved as it is used"
limited() { # limited ARGUMENT... of the program, with 400 MB of addresses
    ends 0 bash -c 'ulimit -v 400000 && exec "$@"' limited "$perceiver" "$@"
}
if can_limit 400000; then
    head -c 3000 /dev/urandom >bytes.bin
    head -c 3000 /dev/urandom >others.bin
    limited prepare bytes -o data --train bytes.bin --validation others.bin
    # shellcheck disable=SC2086
    limited plan data $small --probe 0
    # shellcheck disable=SC2086
    limited train data -o run $small --steps 4
    limited eval run --split validation --tokens 64
    limited generate run --prompt x --length 4
    limited score run bytes.bin
    limited attend run bytes.bin -o map.png
    # shellcheck disable=SC2086
    limited compare data -o comparison $small --cost-only --depths 1 --contexts 64 --archs perceiver-ar
    # shellcheck disable=SC2086
    limited bench generate $small
    run bash -c 'ulimit -v 400000 && exec "$@"' limited "$perceiver" train data -o huge --context 10000000 --steps 1
    equal "what is too large ends with" "$status" "$memory"
    has err '^perceiver train: .*lower'
    [ ! -e huge ] || fail "a run was made that has no memory"
else
    skip "the program does not run with limited addresses"
fi

begin "measurements say how far they are"
works bench train --threads 1 --vocab 259 --context 1024 --latents 512 --channels 256 --heads 4 --layers 6 --batch 2
has err '^timing training steps: '
has err '^timing: [0-9.]+ %, .* left$'
has out '^training step,'
for what in ops generate; do
    # shellcheck disable=SC2086
    works bench $what --threads 1 $small
    # a busy machine makes any measurement long enough to say how far it is
    equal "what a short measurement of $what says beside its rows, and how far it is" "$(grep -vc '^timing: ' err)" 0
    check "rows of $what" test "$(wc -l <out)" -gt 4
done
# Rows come as they are measured: the first level's are there while the last is timed.
mkfifo rows
"$perceiver" bench ops --threads 1 --vocab 259 --context 4096 --channels 256 --latents 512 >rows 2>log &
program=$!
{ read -r header; read -r row; kill -0 "$program" && early=yes || early=no; cat >rest; } <rows
wait "$program" || fail "bench ops ended with $?"
check "header" test "${header%%,*}" = name
check "a row" test "${row%%,*}" = "gemm y = x w^T"
equal "the first row comes before the last is measured" "$early" yes
# shellcheck disable=SC2086
works bench train --threads 1 $small --json
check "JSON is whole" grep -q '^\[{.*' out
check "JSON ends" grep -q '}\]$' out

finish
