#!/usr/bin/env bash
# What is typed and what is shown: numbers, switches, aliases, help, lines that fit, and names that try to be more
# than names. Usage: tests/options.sh PERCEIVER
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"

sentences 1 6000 >book.txt
small="--context 16 --latents 4 --channels 8 --heads 1 --layers 1 --batch 2 --threads 1"

# ---------------------------------------------------------------- help

begin "aliases"
works --help
cp out help
for alias in -h help; do
    works $alias
    check "$alias is --help" cmp -s out help
done
works train --help
cp out train.help
for alias in "help train" "--help train" "train -h" "train x -h --nonsense"; do
    # shellcheck disable=SC2086
    works $alias
    check "$alias is train --help" cmp -s out train.help
done
works --version
cp out version
for alias in -V version; do
    works $alias
    check "$alias is --version" cmp -s out version
done
for alias in "help help" "help version" "--help help"; do
    # shellcheck disable=SC2086
    works $alias
    check "$alias is --help" cmp -s out help
done
fails $usage "no command 'trian'; did you mean 'train'" help trian
fails $usage 'name a command'

begin "help fits a terminal of 80 columns"
commands=$(awk '/^Commands/ { on = 1; next } /^$/ { on = 0 } on && /^  [a-z]/ { print $1 }' help)
check "commands are listed" [ "$(echo "$commands" | wc -l)" -ge 10 ]
for command in "" $commands; do
    works help $command
    awk 'length > 79 { exit 1 }' out || fail "a line of more than 79 columns"
done
tr '\n' ' ' <train.help | tr -s ' ' >flat
for shown in 'width of the layers (default 256)' 'channels that rotary positions turn (default 1)' \
    'have biases (default none)' '--norm layer|rms normalization (default rms)' '--[no-]query-residual the cross-attention adds to its query (default on)' \
    '--[no-]tied the head shares the token embedding (default off)'; do
    grep -qF -- "$shown" flat || fail "help does not say '$shown'"
done

begin "help tells what applies to which architecture"
section() { awk -v title="$1" '/^[A-Z]/ { on = $0 == title } on' "${2-out}"; } # of a help text
works help train
for flag in near:perceiver-ar 'latents:perceiver-ar, perceiver, perceiver-io' 'blocks:perceiver, perceiver-io' \
    sparse-stride:sparse-transformer memory:transformer-xl 'rotary:perceiver-ar, transformer, sparse-transformer'; do
    section "Model: ${flag#*:}" | grep -q -- "^  --${flag%%:*} " || fail "--${flag%%:*} is not among those of ${flag#*:}"
done
section Model | grep -q -- '^  --layers ' || fail "--layers is not among those of all"
! section Model | grep -Eq -- '--(latents|memory|rotary) ' || fail "an option of some is among those of all"
works help train --arch transformer-xl
cp out xl.help
for words in "train --arch transformer-xl --help" "train -h --arch transformer-xl" "train -h --arch=transformer-xl --nonsense" \
    "--help train --arch transformer-xl"; do
    # shellcheck disable=SC2086
    works $words
    check "'$words' is help train --arch transformer-xl" cmp -s out xl.help
done
fails $usage "'lstm' is not one of" train --arch lstm --help
section Model xl.help | grep -q -- '^  --memory ' || fail "no --memory of a transformer-xl"
! grep -Eq -- '--(latents|rotary|sparse|\[no-\]qk-norm) ' xl.help || fail "an option that a transformer-xl has not"
! grep -q '^Model: ' xl.help || fail "sections of others in the help of one architecture"
[ "$(section Training xl.help)" = "$(works help train && section Training)" ] || fail "training options depend on --arch"
works help train --preset books --dialect official
tr '\n' ' ' <out | tr -s ' ' >flat2
for shown in 'width of the layers (default 192)' 'have biases (default all)' 'turn (default 0.5)' 'learning rate (default 0.0015)' \
    'to start from (default official)' 'empty: one axis as long as the context Model:'; do
    grep -qF -- "$shown" flat2 || fail "help with a preset and a dialect does not say '$shown'"
done
works help eval
section 'Evaluation: transformer-xl' | grep -q -- --memory || fail "eval --memory is not said to be a transformer-xl's"
"$perceiver" --man >man
grep -q '^## Model OPTIONS OF transformer-xl$' man || fail "the man page does not say what a transformer-xl has"

begin "what an architecture has not is refused by name, where it was given by hand"
one="--vocab 300 --context 16 --channels 8 --heads 1 --layers 1"
refuses() { fails $usage "$@"; }
# shellcheck disable=SC2086
{
    refuses '^perceiver plan: --latents: transformer has no such setting, but perceiver-ar, perceiver, perceiver-io$' plan --probe 0 $one --arch transformer --latents 4
    refuses '--rotary: transformer-xl has .* but perceiver-ar, transformer, sparse-transformer$' plan --probe 0 $one --arch transformer-xl --rotary 1
    refuses '--sparse: perceiver-ar has .* but sparse-transformer$' plan --probe 0 $one --sparse fixed
    refuses '--query-residual: transformer has' plan --probe 0 $one --arch transformer --no-query-residual
    refuses '--memory: sparse-transformer has' train copy:16 -o x $one --arch sparse-transformer --sparse-stride 4 --memory 4 --steps 1
    refuses '--memory: perceiver-ar has' bench train $one --latents 4 --memory 4
    for words in "plan --vocab 300 --probe 0" "bench train" "train copy:16 -o x --steps 1 --vocab 259"; do
        refuses '--min-crop: transformer-xl has .* but perceiver-ar, transformer, sparse-transformer$' $words ${one#* * } --arch transformer-xl --min-crop 4
        fails $config 'positions.axes has 9 rows on axis 1, too few for a context of 16; .* need positions.origin data$' \
            $words ${one#* * } --latents 4 --positions learned --axes 16,9
    done
    refuses '--min-crop: transformer-xl has no such setting' compare copy:16 -o x $one --archs transformer-xl --min-crop 4
    works plan --probe 0 $one --latents 4 --positions learned --axes 16,9 --origin data
    works plan --probe 0 $one --latents 4 --min-crop 4
    works plan --probe 0 $one --arch transformer --preset tiny
    works plan --probe 0 $one --arch transformer-xl --dialect official
    works plan --probe 0 $one --latents 4
}
check "nothing was made" [ ! -e x ]
echo '{"architecture": "transformer", "latents": 3, "memory": 7, "prefix_dropout": 0.5, "sparse": {"kind": "fixed"}}' >c.json
# shellcheck disable=SC2086
works plan --probe 0 $one --config c.json

begin "output that cannot be written"
for words in --help --version --man "help train" "train -h" "plan --vocab 300 --probe 0" "info copy:16"; do
    # shellcheck disable=SC2086
    "$perceiver" $words >&- 2>err && fail "'$words' into a closed output succeeds"
    grep -q 'cannot write to standard output: ' err || fail "'$words' into a closed output: no reason"
    [ -w /dev/full ] || continue
    status=0
    # shellcheck disable=SC2086
    "$perceiver" $words >/dev/full 2>err || status=$?
    equal "status of '$words' into a full disk" $status $io
    grep -q 'cannot write to standard output: No space left on device' err || fail "'$words' into a full disk: no reason"
done

begin "a closed output is not the next file that is opened"
"$perceiver" prepare bytes book.txt -o set >&- 2>&- <&- || fail "prepare with closed streams: status $?"
works info set
cp set/train.tokens before
"$perceiver" info set >&- 2>&- || true
check "the data set is as it was" cmp -s before set/train.tokens

# ---------------------------------------------------------------- numbers

begin "numbers: one set of rules"
bad_number() { fails $usage "^perceiver [a-z]*: --[a-z0-9-]*: .*($1)" "${@:2}"; }
for value in 0x10 '5 ' ' 5' +5 5k 1,0 '' nan 1e999; do
    bad_number 'is not a number|is out of range' plan --lr "$value"
done
for value in 0x10 '5 ' +5 ''; do bad_number 'is not a whole number' plan --layers "$value"; done
for value in 0x10 '5 '; do
    bad_number 'is not a number' plan --probe "$value"
    bad_number 'is not a whole number' prepare bytes book.txt -o x --seed "$value"
done
bad_number 'is not a whole number' plan --vocab 300 --probe 0 --layers 1e1
bad_number '1 is out of range, expected at least 0 and less than 1' train set -o x --ema 1
bad_number '1 is out of range, expected at least 0 and less than 1' train set -o x --beta1 1
bad_number '0 is out of range, expected 1 to' train set -o x --latents 0
bad_number '-1 is out of range, expected 0 to' train set -o x --layers -1
bad_number '-1 is out of range, expected 0 to' train set -o x --minutes -1
bad_number '0 is out of range, expected 1 to' train set -o x --heads 0
bad_number '0 is out of range, expected 1 to' plan --vocab 300 --probe 0 --latents 0
bad_number '99999999999999999999 is out of range' train set -o x --steps 99999999999999999999
bad_number '-1 is out of range, expected 0 to 1000000' plan --vocab 300 --probe -1
bad_number "'two' is not a whole number" prepare text book.txt -o x --tokenizer sentencepiece:two
fails $usage 'three percentages that make 100' prepare bytes book.txt -o x --split 90,5
bad_number 'is not a list of whole numbers' prepare bytes book.txt -o x --split '90, 5,5'
bad_number 'is not a list of whole numbers' plan --vocab 300 --probe 0 --cross-after-layers 0,
fails $usage "'16 ' is not a whole number" plan "copy:16 " --probe 0
fails $usage '3 is out of range' plan copy:3 --probe 0
fails $usage 'recall:48: 48 is out of range, expected 49 to 16777216' plan recall:48 --probe 0
fails $usage "repeat:x: 'x' is not a whole number" info repeat:x
echo '{"latents": 0}' >c.json
fails $config 'c.json: latents: 0 is out of range, expected 1 to' plan --vocab 300 --probe 0 --config c.json
works plan --vocab 300 --probe 0 --ema 0.99999999 --lr 1e-4 --lr-end .5 --layers 007

begin "switches go on and off"
with() { works plan --vocab 300 --probe 0 $small "$@" && awk '$1 == "parameters" { print $2 }' out; }
on=$(with --output-bias) off=$(with --no-output-bias)
check "--no-output-bias takes the bias away: $on, $off" [ $((on - off)) = 300 ]
equal "--output-bias=false is the same" "$(with --output-bias=false)" "$off"
equal "the last one counts" "$(with --no-output-bias --output-bias)" "$on"
equal "the default dialect is without" "$(with)" "$off"
grep -Eq 'the head has a bias \(default off\)' flat || fail "help tells another default of --output-bias"
fails $usage 'takes no value' plan --no-tied=true
fails $usage 'takes no value' plan --json=true
fails $usage "unknown option '--no-layers'" plan --no-layers
fails $usage "did you mean '--no-tied'" plan --no-tie-d
"$perceiver" --man >man
grep -qF '*\-\-[no\-]tied*' man || fail "the man page does not have --no-tied"

begin "what computes has a name"
works plan --vocab 300 --probe 0 $small --device cpu
fails $config "--device: 'toaster' is not one of cpu" plan --vocab 300 --probe 0 $small --device toaster
fails $config "--device: 'toaster' is not one of cpu" train copy:16 -o toasted $small --steps 1 --device toaster
fails $config "--device: 'toaster' is not one of cpu" bench ops $small --device toaster
check "nothing was made" test ! -e toasted
PERCEIVER_KERNELS=plain works plan --vocab 300 --probe 0 $small
PERCEIVER_KERNELS=plane fails $config "PERCEIVER_KERNELS: 'plane' is not one of .*plain, reference; did you mean" plan \
    --vocab 300 --probe 0 $small

begin "options that say nothing are refused"
for option in --split=test --batch=2 --examples=3 --seed=4; do
    fails $usage "option '$option' says nothing to score" score run book.txt $option
done
for option in --split=test --stride=2 --batch=2 --examples=3; do
    fails $usage "option '$option' says nothing to attend" attend run book.txt -o map.png $option
done
for command in score attend; do
    works help $command
    equal "lines of help about --tokens" "$(grep -c '^  --tokens' out)" 1
done
fails $usage '--split belongs to INPUT' prepare text --train book.txt --split 90,5,5 -o x
fails $usage '--echo belongs to --prompt or --prompt-file' generate run --echo
fails $usage '--keep belongs to --complete or --prompt-file' generate run --keep 0.5
fails $usage '--values belongs to --sweep' eval run --values 2,4
fails $usage '--size belongs to -o' attend run book.txt --size 8

begin "standard output is no folder, and no second output"
for words in "prepare text book.txt" "train set --steps 1" "compare copy:4" "eval run --sweep latents" "score run book.txt --logits - "; do
    # shellcheck disable=SC2086
    fails $usage "not standard output" $words -o -
    lacks -
done

begin "completion for bash"
fails $usage "--completion: 'fish' is not one of bash" --completion fish
complete_words() { # complete_words WORD...: what the last one can become, in $reply
    # shellcheck disable=SC2034
    COMP_WORDS=(perceiver "$@") COMP_CWORD=$#
    _perceiver
    reply="${COMPREPLY[*]}"
}
works --completion bash
# shellcheck disable=SC1091
. ./out
complete_words tr
equal "commands" "$reply" train
complete_words help ev
equal "commands to have help about" "$reply" eval
complete_words prepare i
equal "kinds of data" "$reply" image
complete_words train set --no-ti
equal "what switches off" "$reply" --no-tied
complete_words train set --schedule co
equal "values" "$reply" "constant cosine"
complete_words train set --schedule = li
equal "values behind a sign" "$reply" linear
complete_words score run --s
equal "options that say something" "$reply" --stride
complete_words attend run -
case " $reply " in *" -o "*) ;; *) fail "no -o in $reply" ;; esac
for command in $commands; do
    complete_words $command x --
    works help $command
    for option in $(grep -o '^  --[a-z0-9][a-z0-9-]*' out); do
        case " $reply " in *" $option "*) ;; *) fail "$option of $command is not completed" ;; esac
    done
done
complete_words info RUN
equal "files are left to bash" "$reply" ""

begin "empty names"
fails $usage "option '-o' needs a value, but it is empty" prepare bytes book.txt -o ''
fails $usage "option '-o' needs a value, but it is empty" train set --steps 1 -o ''
fails $usage "option '--config' needs a value" plan --config=
fails $usage "option '--train' needs a value" prepare bytes -o x --train ''
fails $usage 'an argument is empty' prepare bytes -o x --train book.txt ''
fails $usage 'an argument is empty' info ''
fails $usage 'an argument is empty' info -- ''
check "nothing was made" [ ! -e x ]

# ---------------------------------------------------------------- names that are more than names

begin "what files and names say is shown, not obeyed"
escape=$'\e[31mred\a' forged=$'a\nperceiver: all is well'
plain() { # plain FILE: no control characters but the ends of lines, and one line of error
    ! tr -d '\n' <"$1" | grep -q '[[:cntrl:]]' || fail "$1 has control characters"
}
for name in "$escape" "$forged" $'\x9b31m'; do
    for words in "info" "eval" "train -o"; do
        # shellcheck disable=SC2086
        ends '6[0-9]|7[0-9]' "$perceiver" $words "$name"
        plain err
        equal "lines of '$words'" "$(wc -l <err)" 1
    done
done
fails $noinput 'x1b\[31mred.x07: no such' info "$escape"
printf '{"\\u001b[31mred\\u0007\\n": 1}' >c.json
fails $config 'unknown key .*x1b\[31mred.x07.n' plan --vocab 300 --probe 0 --config c.json
plain err
mkdir odd
cp book.txt "odd/$escape.txt"
printf 'RIFF' >"odd/$forged.png"
cp "odd/$forged.png" odd/b.png
ends $data "$perceiver" prepare image odd -o pictures
plain err
has err 'a.nperceiver: all is well.png'

begin "info: results first, then what was chosen"
# shellcheck disable=SC2086
works train set -o run $small --steps 2 --eval-every 1
has err '^trained 2 updates, 16 target tokens in '
# shellcheck disable=SC2086
works train set -o once $small --steps 1 --batch 1 --total-batch 1
has err '^trained 1 update, '
works info run
head -n 4 out | tail -n 3 | tr '\n' ' ' >first
has first '^updates +2 trained +[0-9.]+ s, 16 target tokens best validation +[0-9.]+ bits per token, after update [12] $'
for chosen in 'context +16' 'latents +4' 'channels +8' 'layers +1' 'batch +2' 'steps +2'; do has out "^  $chosen\$"; done
for usual in input_channels cross_heads mlp_ratio self_reach activation beta1 positions.rotary.base; do
    ! grep -q "^  $usual " out || fail "info lists $usual, which nobody chose"
done
has out '^[0-9]+ tensors: --tensors lists them'
lines=$(wc -l <out)
check "$lines lines are a page" [ "$lines" -lt 36 ]
works info run --tensors
has out '^  token_embedding.weight +F32 +\[259, 8\]'
works info run --json
for key in updates target_tokens seconds best_validation_bits best_update parameters weights_bytes tensors beta1 cross_heads; do
    has out "\"$key\": "
done
works info run/model.safetensors
cp out whole
last="info -"
cat run/model.safetensors | "$perceiver" info - >out 2>err || fail "info of a pipe"
cmp -s out whole || fail "a pipe has other tensors"
"$perceiver" info - --json <run/model.safetensors >out 2>err || fail "info of standard input"
echo '{}' | "$perceiver" info - >out 2>err && fail "info of what is none"
has err '^perceiver info: standard input: not a safetensors file'
rm -r once/checkpoints once/model.safetensors
works info once
has out '^updates +none saved yet'
has out '^weights +none yet'

begin "plan states what it is about"
# shellcheck disable=SC2086
works plan --vocab 300 --probe 0 $small
has out '^context +16 tokens$'
has out '^latents +4$'
# shellcheck disable=SC2086
works plan --vocab 300 --probe 0 $small --json
has out '^\{"context": 16, "latents": 4, '

begin "a run whose files are hostile"
sed -i 's|"dataset": *"[^"]*"|"dataset": "\\u001b[31mred\\nkind forged"|' run/config.json
printf '{"kind": "\\u001b[31mred\\u0007"}' >run/tokenizer.json
ends $data "$perceiver" eval run
plain err
has err 'x1b\[31mred'

begin "tensors with hostile names"
header='{"\u001b[31mred\n": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}      '
printf "\\x$(printf %x ${#header})\\0\\0\\0\\0\\0\\0\\0" >odd.safetensors
printf '%s\0\0\0\0' "$header" >>odd.safetensors
fails $data "a tensor's name is too long or not printable" info odd.safetensors
plain err

# ---------------------------------------------------------------- lines

begin "the bar fits any width"
if [ -n "$(command -v script)" ]; then
    for columns in 30 80 200; do
        # shellcheck disable=SC2086
        TERM=xterm script -qec "stty cols $columns; '$perceiver' train set -o bar-$columns $small --minutes 0.02" \
            typescript >out 2>err </dev/null || fail "train on a terminal of $columns columns: status $?"
        tr '\r' '\n' <typescript | sed -n 's/^.*\x1b\[K\(..*\)/\1/p' | grep left >bars || fail "no bar at $columns columns"
        awk -v most="$columns" 'length >= most { exit 1 }' bars || fail "a bar of $columns columns or more"
        grep -Eq '^loss [0-9.]+  [0-9]+ s left' bars || fail "no loss and time left first: $(tail -n 1 bars)"
        ! grep -q 'e+' bars || fail "a number with an exponent: $(tail -n 1 bars)"
    done
    grep -Eq '^loss [0-9.]+  [0-9]+ s left  [0-9]+ %, [0-9.]+ bits, .*update [0-9]+  [0-9,]+ tokens/s  \[=*>? *\]$' bars ||
        fail "not all of it on a wide terminal: $(tail -n 1 bars)"
else
    skip "no script(1)"
fi

finish
echo "all checks passed"
