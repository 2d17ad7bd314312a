#!/usr/bin/env bash
# Pictures, music, sound and pieces of words as the program's user meets them. Usage: tests/media.sh PERCEIVER
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"
under_strace

fails() { # fails STATUS PATTERN ARGUMENT...: one line on stderr that has PATTERN
    local pattern=$2
    last="" ends "$1" "$perceiver" "${@:3}"
    has err "$pattern"
    equal "lines on stderr" "$(wc -l <err)" 1
}

number() { grep -o "\"$1\": [-+.e0-9]*" out | head -n 1 | sed 's/.*: //'; } # of a JSON object in out

make_texts

# A model of a few thousand weights.
small="--context 32 --latents 8 --channels 16 --heads 2 --layers 1 --batch 2 --threads 1"

begin "names of tokenizers"
fails $usage "tokenizer 'gpt2'.*bytes, bytes-262, sentencepiece, image, midi, .*FILE.model" \
    prepare text text -o set --tokenizer gpt2
fails $usage "tokenizer 'opus'.*mulaw, rvq" prepare audio text -o set --codec opus

# ---------------------------------------------------------------- sound

make_wav() { # make_wav PATTERN: half a second, 8 bits, 8,000 samples a second
    printf 'RIFF\304\017\0\0WAVEfmt \020\0\0\0\001\0\001\0\100\037\0\0\100\037\0\0\001\0\010\0data\240\017\0\0'
    yes "$1" | head -c 4000
}

begin "damaged sounds: a reason for each, nothing else said, and no descriptor closed twice"
mkdir sounds
make_wav az >sounds/good.wav
make_wav kyky >sounds/other.wav
for i in 1 2 3 4 5 6 7 8; do
    { printf 'RIFF\0\0\0\0WAVEfmt '; head -c 50 /dev/zero; } >sounds/header$i.wav
    { printf 'fLaC'; head -c 50 /dev/zero; } >sounds/flac$i.flac
    { printf '\377\373\220\0'; head -c 5000 "$perceiver"; } >sounds/mpeg$i.mp3
done
OMP_NUM_THREADS=4 works prepare audio --train sounds -o set --rate 4000
equal "reasons" "$(grep -c '"reason": "sounds/[a-z]*[1-8]\.[a-z0-9]*: begins like an* [A-Z0-9]*, but' set/dataset.json)" 24
equal "other lines" "$(grep -vc '^skipped sounds/' err)" 6
has err '^train +2 documents'
if strace -f -o trace true 2>strace.log; then
    rm -r set
    OMP_NUM_THREADS=4 ends 0 strace -f -e trace=close -o trace \
        "$perceiver" prepare audio --train sounds -o set --rate 4000
    check "no call of close was seen" grep -q 'close(' trace
    ! grep EBADF trace >err || fail "a descriptor was closed twice"
else
    skip "strace cannot look here"
fi

begin "a sound too short for a token"
head -c 45 sounds/good.wav >sounds/one.wav
ends 0 "$perceiver" prepare audio --train sounds -o short --rate 1000
has short/dataset.json '"sounds/one.wav: too short for 1000 samples a second: 1 of 8000'

# ---------------------------------------------------------------- pieces of words

begin "a SentencePiece model that rewrites texts: bits per byte of the source, no space invented"
run "$perceiver" prepare text text -o learned --tokenizer sentencepiece:330
if [ $status = $config ]; then
    skip "$(tail -n 1 err)"
else
    { cat learned/sentencepiece.model; printf '\032\004\030\001\040\001'; } >mine.model # a prefix; spaces are joined
    for i in 1 2; do sed 's/ /   /g' text/$i.txt >wide$i.txt; done
    works prepare text --train text --validation wide1.txt --test wide2.txt -o pieces --tokenizer mine.model
    works train pieces -o written $small --steps 4
    works eval written --json --split test
    equal "bytes" "$(number bytes)" "$(bytes wide2.txt)"
    awk -v n="$(number tokens)" -v b="$(number bits_per_token)" -v s="$(number bytes)" -v p="$(number bits_per_byte)" \
        'BEGIN { d = b * n / s - p; exit !(d < 1e-6 && d > -1e-6) }' || fail "bits per byte are not those of the source"
    works score written wide2.txt
    awk -F '\t' -v n="$(bytes wide2.txt)" '{ s -= $3 } END { printf "%.4f", s / log(2) / n }' out >expected
    close "score's bits per byte" "$(sed -n 's/.*, \(.*\) bits per byte$/\1/p' err)" "$(cat expected)" 0.0002
    cut -f 2 out >ids
    works score written --tokens ids
    ! grep "per byte" err || fail "bits per byte of a text that nobody knows"
    for seed in 1 2 3 4 5 6 7 8 9 10 11 12; do # about every third piece begins with a space
        works generate written --length 3 --seed $seed
        ! head -c 1 out | grep -q ' ' || fail "a space begins the text"
    done
fi

# ---------------------------------------------------------------- formats of what is written

size_of() { od -An -j 16 -N 8 -tu1 "$1" | awk '{ print $3 * 256 + $4 "x" $7 * 256 + $8 }'; } # of a PNG below 64 K
is() { [ "$(head -c ${#2} "$1")" = "$2" ] || fail "$1 does not begin with $2"; }

begin "a map of attention: its axes, and the format of its name"
works prepare text text -o texts
works train texts -o run $small --steps 2
works attend run text/1.txt -o map.png --size 16
equal "pixels" "$(size_of map.png)" 419x228
works attend run text/1.txt -o map.jpg --size 16
is map.jpg $'\377\330\377'
works attend run text/1.txt -o - --size 16
cmp -s out map.png || fail "standard output gets another picture"
lacks -
fails $cantcreate '\.\.: is a folder' attend run text/1.txt -o ..
fails $usage "text.png: text is generated, which is no '.png' file" generate run -o text.png
fails $usage "text.MID: text is" generate run -o text.MID
works generate run --length 20 -o text.png.md
works generate run --length 20
works generate run --length 20 -o -
lacks -
for name in logits.npy logits.csv; do fails $usage "$name: no .* expected .safetensors" score run text/1.txt --logits $name; done
equal "lines in front of a name that is refused" "$(bytes out)" 0
fails $usage "map.gif: no '.gif' file can be written here, expected .png, .jpg" attend run text/1.txt -o map.gif
fails $usage "sweep.png: no '.png' file can be written here, expected .svg" eval run --sweep latents -o sweep.png

begin "pictures: the format of the name, frames, enlarged"
mkdir pictures
for i in 1 2 3; do cp map.png pictures/$i.png; done
works prepare image --train pictures -o pixels --size 2
works train pixels -o drawn $small --context 12 --latents 4 --steps 2
works generate drawn -o one.jpeg
is one.jpeg $'\377\330\377'
works generate drawn -o one.png --scale 5
equal "pixels" "$(size_of one.png)" 10x10
works generate drawn -o sheet.png --grid 3x2 # of cells of 4 with their frames, 3 apart
equal "pixels" "$(size_of sheet.png)" 24x17
works generate drawn -o sheet.png --grid 3x2 --scale 10
equal "pixels" "$(size_of sheet.png)" 78x53
works generate drawn -o sheet.png --complete map.png map.png --scale 10
equal "pixels" "$(size_of sheet.png)" 78x53
fails $usage "two.gif: no '.gif' file" generate drawn -o two.gif --grid 2x1
fails $usage "'--scale|--scale:" generate drawn -o two.png --scale 0
fails $usage "scale.*not for text" generate run --scale 2
fails $usage "--length: each document of drawn has 12 tokens" generate drawn -o one.png --length 5
fails $usage "--stop: not for image" generate drawn -o one.png --stop abc
fails $usage "--prompt: not for image, .*give --complete" generate drawn -o one.png --prompt abc --echo
run "$perceiver" generate drawn -o two.png --grid 600x1 --scale 64
equal "exit status" $status $usage
has err "two.png: .* pixels, at most"
[ ! -e two.png ] || fail "two.png is there"

begin "sound: the format of the name, and a FLAC that is not what was encoded"
works prepare audio --train sounds -o samples --rate 8000
works train samples -o heard $small --steps 2
works generate heard -o /dev/null --length 100
lacks /dev/null.png # the spectrogram that stands beside a file
works generate heard -o said.flac --length 3000
[ -s said.flac.png ] || fail "no spectrogram beside the file"
is said.flac fLaC
works score heard said.flac
cp out expected
cat said.flac | "$perceiver" score heard - >out 2>err || fail "score of a sound that comes through a pipe"
cmp -s out expected || fail "a sound through a pipe scores differently"
cp said.flac changed.flac
printf 'another MD5' | dd of=changed.flac bs=1 seek=26 conv=notrunc status=none
works prepare audio --train said.flac changed.flac -o flacs --rate 8000
has err '^warning: changed.flac: not the samples that were encoded'
has err '^warned of +1$'
has err '^train +2 documents'
works score heard changed.flac
has err '^warning: changed.flac: not the samples'
works attend heard changed.flac -o sound.png
has err '^warning: changed.flac: not the samples'
for option in --prompt-file --complete; do
    works generate heard $option changed.flac -o more.wav --length 10
    has err '^warning: changed.flac: not the samples'
done
for words in "score heard -" "prepare audio --train - -o piped --rate 8000"; do
    last=$words
    # shellcheck disable=SC2086
    cat changed.flac | "$perceiver" $words >out 2>err || fail "a sound through a pipe"
    has err '^warning: standard input: not the samples'
done
printf 'no sound' | "$perceiver" prepare audio --train - -o none 2>err && fail "no sound is taken for one"
has err '^skipped standard input: '

begin "what stands beside a sound replaces nothing"
rm -f more.wav.png
works generate heard -o more.wav --length 10
[ -s more.wav.png ] || fail "no spectrogram beside the file"
echo mine >more.wav.png
works generate heard -o more.wav --length 10
has err 'more.wav.png is there already and stays as it is'
equal "a file that was not named" "$(cat more.wav.png)" mine

begin "sound: formats of its name that the machine may not have"
if "$perceiver" generate heard -o said.ogg --length 3000 2>err; then
    is said.ogg OggS
    equal "lines on stderr" "$(grep -vc '^generating' err)" 1
fi
fails $usage "said.aac: no '.aac' file can be written here, expected .wav, .flac" generate heard -o said.aac --length 10
fails $usage "song.txt" generate heard -o song.txt --length 10
no_leftovers

finish
