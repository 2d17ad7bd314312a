#!/usr/bin/env bash
# Models that answer: labels of files, trainings of perceiver and perceiver-io, what eval and predict say of them.
# Usage: tests/answers.sh PERCEIVER
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"

# tone FILE PATTERN NUMBER: half a second of 8 bits at 8,000 samples a second, PATTERN over and over behind NUMBER bytes
tone() {
    {
        printf 'RIFF\304\017\0\0WAVEfmt \020\0\0\0\001\0\001\0\100\037\0\0\100\037\0\0\001\0\010\0data\240\017\0\0'
        { head -c "$3" /dev/zero | tr '\0' m && yes "$2"; } | head -c 4000
    } >"$1"
}
mkdir -p sounds/low sounds/high one/only
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    tone sounds/low/l$i.wav aaaaaaaaaaaaaaaazzzzzzzzzzzzzzzz "$i"
    tone sounds/high/h$i.wav az "$i"
done

begin "labels by folders"
cp sounds/low/l1.wav one/only/o.wav
tone sounds/none.wav azzz 3
works prepare audio sounds --labels folders -o set --rate 4000
has err '^skipped sounds/none.wav: no label: in no folder that names a class'
has err 'skipped 1 file: 1 without a label'
json set/dataset.json
has set/dataset.json '"labels": *\[ *"high", *"low" *\]|"labels": \['
equal "bytes of labels" "$(bytes set/train.labels)" "$((4 * $(number documents set/dataset.json)))"
fails $data '1 class, only, among 1 file, expected 2' prepare audio one --labels folders -o x --rate 4000
fails $usage "--labels 'files': expected folders, or the name of a .csv" prepare audio sounds --labels files -o x
fails $usage 'each file has one' prepare text sounds --labels folders --documents lines -o x
lacks x

mkdir -p dealt/train dealt/test
cp -r sounds/low sounds/high dealt/train
cp -r sounds/low dealt/test
rm dealt/test/low/*
tone dealt/test/low/t.wav aaaaaaaaaaaaaaaazzzzzzzzzzzzzzzz 20
tone dealt/train/stray.wav azzz 5
works prepare audio dealt --labels folders -o named --rate 4000
has err '^skipped dealt/train/stray.wav: no label'
has named/dataset.json '"labels"'
works info named
has out '^classes  *2'

begin "labels by a list"
{
    echo 'file,what'
    for i in 1 2 3 4 5 6 7 8 9 10 11; do printf 'low/l%s.wav,"low, and ""slow"""\r\nh%s.wav,high\n' $i $i; done
    echo 'gone.wav,high'
    echo './high/h12.wav,rare,and,more'
} >list.csv
works prepare audio sounds --labels list.csv -o listed --rate 4000
has err '^skipped sounds/low/l12.wav: no label: it is not in list.csv'
has err "^list.csv: 1 label without a file, the first in line 24: 'gone.wav'"
has err '^warning: 1 class with one example: rare'
has listed/dataset.json 'low, and \\"slow\\"'
echo 'low/l1.wav' >bad.csv
fails $data "bad.csv: line 1: 'low/l1.wav': expected a file, a comma and its label" prepare audio sounds --labels bad.csv -o x
echo 'low/l1.wav,' >bad.csv
fails $data "bad.csv: line 1: no label behind 'low/l1.wav'" prepare audio sounds --labels bad.csv -o x
head -c 100 sounds/low/l1.wav >bad.csv
fails $data 'bad.csv: binary' prepare audio sounds --labels bad.csv -o x
fails $noinput 'none.csv' prepare audio sounds --labels none.csv -o x

begin "what is validated on is named, so all else is trained on"
works prepare audio sounds/low --validation sounds/high/h1.wav -o rest --rate 4000
has err '^train  *11 documents'
has err '^validation  *1 document '
has err '^test  *1 document '

begin "damaged labels"
cp -r set cut
head -c 3 set/test.labels >cut/test.labels
fails $data 'test.labels: 3 bytes, expected 1 labels of 4' info cut
printf "\7\0\0\0" >cut/test.labels
fails $data 'test.labels: label 0 is 7, but there are 2 classes' info cut

begin "a training that answers"
small="--patch 50 --latents 4 --channels 16 --heads 2 --layers 1 --mlp-ratio 1 --bands 4 --batch 4 --threads 1 --lr 0.01"
works train set -o run --arch perceiver-io $small --steps 60
json run/config.json
works eval run --split train
has out '^accuracy  *100.00 % \+- 0.00$'
works eval run --json
json out
has out '"classes": 2, "accuracy_error"'
works train set -o mean --arch perceiver $small --blocks 2 --cross-attends 2 --steps 60
works eval mean --split train
has out '^accuracy  *100.00 %'
works train set -o straight --arch perceiver-io $small --schedule constant --steps 12 --eval-every 100
works train set -o parts --arch perceiver-io $small --schedule constant --steps 5 --eval-every 100
works train -o parts --resume --steps 12
check "a run in two parts has other weights" cmp -s straight/model.safetensors parts/model.safetensors
works plan set --arch perceiver-io $small --probe 0
has out '^  decoder '
works bench train --arch perceiver-io --input-features 3 --outputs 2 --context 16 --latents 4 --channels 8 --heads 2 --layers 1
works info run
has out '^architecture  *perceiver-io'

works eval run --split train -o confusion.csv
equal "heading" "$(head -n 1 confusion.csv)" "class,high,low"
has confusion.csv '^low,0,[0-9]+$'
works eval run --split train -o confusion.svg
has confusion.svg '<text x="122" y="[0-9]*" text-anchor="end">high</text>'
fails $usage 'written as .csv or .svg' eval run -o confusion.png

begin "predictions"
works predict run sounds/low/l12.wav sounds/high/h12.wav
equal "first answer" "$(sed -n 1p out | cut -d' ' -f1-3)" "sounds/low/l12.wav  low"
equal "second answer" "$(sed -n 2p out | cut -d' ' -f1-3)" "sounds/high/h12.wav  high"
works predict run sounds/low/l12.wav --csv
equal "heading" "$(head -n 1 out)" "file,class,high,low"
works predict run sounds/low/l12.wav sounds/high/h12.wav text.txt sounds/low -o table.csv
equal "rows of a table" "$(wc -l <table.csv)" 3
has err '^skipped 2 of 4 files'
works predict run sounds/low/l1.wav --top 1
equal "classes" "$(grep -o '%' out | wc -l)" 1
works predict run sounds/low/l1.wav sounds/low/l2.wav --output latents -o latents.safetensors
works info latents.safetensors
has out '4 x 16|\[4, 16\]'
fails $usage '--output latents: -o names' predict run sounds/low/l1.wav --output latents
fails $usage "'logits' is not one of answers" predict run sounds/low/l1.wav --output logits
fails $noinput 'gone.wav' predict run gone.wav
fails $usage 'fill in text' predict run sounds/low/l1.wav --hidden _

begin "hidden words"
make_texts
works prepare text text -o texts --tokenizer bytes-262
masked="--context 64 --latents 8 --channels 32 --heads 2 --layers 1 --batch 2 --threads 1"
works train texts -o filled --arch perceiver-io $masked --lr 0.003 --steps 30
works eval filled
has out '^bits per token'
printf 'the c_t sees a dog.' >gap.txt
works predict filled gap.txt --hidden _
equal "bytes of a text that was filled in" "$(bytes out)" 19
has out '^the c. ?t sees a dog.$|^the c.t sees a dog.$'
works predict filled gap.txt
has err 'nothing is hidden in it'

begin "sets"
works train sets:6 -o weighed --arch perceiver-io --context 7 --latents 4 --channels 16 --heads 2 --layers 1 --batch 8 --threads 1 --steps 10
works eval weighed --examples 20
has out '^20 examples of 6 classes, 4 latents, 7 inputs$'
works eval weighed --data sets:30 --context 31 --examples 20
has out '^20 examples of 6 classes, 4 latents, 31 inputs$'
! grep -q '"position_embedding' weighed/model.safetensors || fail "a set has positions"

begin "motions"
still="--arch perceiver-io --latents 4 --channels 16 --heads 2 --layers 1 --bands 2 --batch 2 --threads 1 --steps 4"
works train sprites:8 -o motion $still --eval-every 2
has err 'update 2: validation [0-9.]* end-point error \(\+- '
works eval motion --examples 5
has out '^320 answers of 5 examples, 4 latents, 64 inputs$'
has out '^end-point error  *[0-9.]* \+- '
has out '^of zeros '
works eval motion --examples 5 --json
json out
has out '"measure": "end-point error", "of_zeros": '
has motion/report.html 'Loss, end-point error'
works info motion
has out '^best validation  *[0-9.]* end-point error'
works attend run sounds/low/l1.wav -o map.png
mkdir frames
cp map.png frames/f-1.png
cp map.png frames/f-2.png
works predict motion frames/f-1.png frames/f-2.png -o frames/f-1.flo
wide=$(sed -n 's/.*motions of \([0-9]*\) x .*/\1/p' out) high=$(sed -n 's/.* x \([0-9]*\) pixels/\1/p' out)
equal "bytes of motions" "$(bytes frames/f-1.flo)" "$((12 + 8 * wide * high))"
works predict motion frames/f-1.png frames/f-2.png -o motion.png
fails $usage 'expected RUN FRAME1 FRAME2 -o FLOW.flo|.png' predict motion map.png map.png map.png -o x.flo
fails $usage 'expected RUN FRAME1 FRAME2 -o FLOW.flo|.png' predict motion map.png map.png
fails $usage "no '.csv' file can be written here, expected .flo, .png" predict motion map.png map.png -o x.csv
fails $usage "no '.safetensors' file can be written here" predict motion map.png map.png --output latents -o x.safetensors
cp frames/f-1.flo frames/f-7.flo
head -c 100 frames/f-1.flo >frames/g_flow.flo
works prepare pairs --train frames --size 8 -o pairs
has err '^train  *1 document '
has err '^skipped frames/f-7.flo: the two frames beside it are missing'
has err '^skipped frames/g_flow.flo: the two frames'
works train pairs -o again $still
works eval again --split train
has out '^64 answers of 1 example,'
fails $config 'which a perceiver-io alone can give' train pairs -o x --arch perceiver --steps 1
fails $config 'outputs is 3, but pairs has 2' train pairs -o x $still --outputs 3
fails $config 'loss is cross_entropy, but the answers of pairs are motions' train pairs -o x $still --loss cross_entropy
fails $config 'loss is squared, but the answers of set are no numbers' train set -o x --arch perceiver-io --loss squared
fails $data '1 not of this kind' prepare pairs --train frames/f-1.flo --size 4096 -o x

begin "films"
film="--preset films --latents 4 --channels 16 --heads 2 --decoder-heads 1 --layers 1 --image-bands 2 --audio-bands 2 --batch 2 --threads 1 --steps 4"
works train films:8 -o film $film --eval-every 2
has err 'update 2: validation [0-9.]* weighted loss \(\+- '
has film/metrics.jsonl '"sample_file": "samples/step-00000004.png"'
has film/report.html 'Loss, weighted loss'
works eval film --examples 5
has out '^5 films, 4 latents, 73 inputs$'
has out '^frames  *[0-9.-]* dB, of each film.s mean colour [0-9.]*$'
has out '^sound  *[0-9.-]* dB, of silence [0-9.]*$'
has out '^class  *[0-9.]* %'
works eval film --examples 5 --json
json out
has out '"image_psnr": .*"audio_psnr_silence": '
works plan films:8 $film --probe 0
has out '^largest that fits  *[0-9]* examples of a batch'
mkdir -p clips/a/one clips/b/two clips/b/three clips/a/four
for clip in a/one b/two b/three a/four; do for n in 1 2 3 4; do cp map.png clips/$clip/$n.png; done; done
rm clips/a/four/4.png
tone clips/b/two.wav azzz 3
tone clips/a/one/sound.wav azz 3
cp motion.png clips/b/three/4.png
works prepare video clips --labels folders --size 8 --frames 4 --samples 16 -o few --split 100,0,0
has err '^skipped clips/a/four: 3 frames, expected at least 4'
has err 'warning: .*clips/b/three: no sound beside the frames'
has err '^train  *3 documents '
works info few
has out '^classes  *2'
works prepare video clips --size 8 --frames 4 -o silent --split 100,0,0
has err 'warning: .*not heard; with --samples N'
works prepare video clips --size 8 --frames 4 --samples 16 -o silent2 --split 100,0,0
works predict film clips/a/one clips/b/two -o told
has out '^told/one: 4 frames, 64 samples'
equal "frames" "$(ls told/one)" "$(printf 'frame-0001.png\nframe-0002.png\nframe-0003.png\nframe-0004.png\nsound.wav')"
works predict film clips/a/one
has out '^clips/a/one  [a-z]* [0-9.]* %  '
works predict film clips/a/one --output latents -o told.safetensors
works predict film clips/a/one clips/b/two --output latents -o told.csv
equal "lines of latents" "$(wc -l <told.csv)" 9
has told.csv '^clips/b/two,3,'
mkdir -p again/one
cp clips/b/two/* again/one
fails $usage "clips/a/one and again/one/: both would be told in a folder 'one'" predict film clips/a/one again/one/ -o x
works predict film clips/a/four again/one/2.png -o both
has err '^skipped clips/a/four: 3 frames'
has out '^both/one: 4 frames'
fails $data '3 frames, expected at least 4' predict film clips/a/four
works train few -o labelled $film
works eval labelled --data silent2 --split train
check 'nobody knows the class' test -z "$(grep '^class' out)"
fails $data 'documents of 2 classes, but film tells 4 apart' eval film --data few --split train
cp -r labelled hostile
sed 's/"patch": 2/"patch": 1/' labelled/config.json >hostile/config.json
fails $data "documents of its tokenizer, 'film', are not what the model" predict hostile clips/a/one
fails $config 'which a perceiver-io alone can do' train films:8 -o x --arch perceiver
fails $config 'patch is 3, which does not divide frames of 8 x 8' train films:8 -o x $film --patch 3
fails $config 'audio.features is 7, which does not divide the 64 samples' train films:8 -o x $film --audio-features 7
fails $config 'loss is end_point, expected absolute or squared' train films:8 -o x $film --loss end_point
fails $config 'image.asked is 9000, but there are 256 outputs' train films:8 -o x $film --image-asked 9000
works train films:8 -o film2 $film
works train films:8 -o film3 $film --steps 2
works train --resume -o film3 --steps 4
check "resumed as if never stopped" cmp -s film2/model.safetensors film3/model.safetensors

begin "what is hidden, and where latents begin"
works prepare text text --task mask -o hidden
fails $config 'take --preset hidden-words' train hidden -o x --preset tiny --steps 1
works train hidden -o letters --preset hidden-letters --context 16 --latents 4 --channels 32 --layers 1 --bands 4 --steps 2
works train hidden -o whole --preset hidden-words --mask-singles 0.5 --context 16 --latents 4 --channels 32 --layers 1 --bands 4 --steps 2
has whole/metrics.jsonl '"sample": '
fails $usage "'both' is not one of next" prepare text text --task both -o x
fails $usage '\-\-task mask: for text alone, not for audio' prepare audio sounds --task mask -o x
fails $usage 'leave --labels out' prepare text text --task mask --labels folders -o x
fails $config 'encoder.places needs --positions fourier' train hidden -o x --preset hidden-letters --positions learned --steps 1
fails $config 'a place has 3 features at least, more than the 2 channels' train hidden -o x --preset hidden-letters --channels 2 --heads 1 --steps 1

begin "pictures behind a convolution, and permuted"
mkdir -p photos/p photos/q
for n in 1 2 3 4 5 6; do cp told/one/frame-000$((1 + n % 4)).png photos/p/$n.png; done
rm -r photos/p && mkdir photos/p
i=0
for f in told/*/frame-*.png; do i=$((i + 1)); cp "$f" photos/$([ $((i % 2)) = 0 ] && echo p || echo q)/$i.png; done
works prepare image photos --labels folders --size 8 -o photo --split 100,0,0
picture="--arch perceiver-io --latents 4 --channels 16 --heads 2 --layers 1 --bands 2 --batch 2 --threads 1 --steps 2"
works train photo -o stem $picture --convolution 4 --permute 3
works info stem
works predict stem photos/q/1.png
fails $config 'a convolution takes single pixels' train photo -o x $picture --convolution 4 --patch 2
fails $config 'convolution: its outputs cannot be asked with' train photo -o x $picture --convolution 4 --decoder-query inputs

begin "what is not for them"
works train texts -o goes-on $masked --steps 2
fails $usage 'goes on with what it reads' predict goes-on gap.txt
fails $usage 'for models that go on' eval run --sweep latents
works eval run --split train --latents 2
works prepare audio sounds -o codes --codec rvq --rate 8000 --frame 64 --codebooks 1 --codes 8
fails $config 'takes no tokens of this kind' train codes -o x --arch perceiver-io --steps 1
fails $usage 'answers, and does not go on' generate filled --length 3
fails $usage 'answers, and does not go on' score filled gap.txt
fails $usage 'answers, and does not go on' attend filled gap.txt
works attend filled gap.txt -o map.png
works attend run sounds/low/l1.wav -o map.png
fails $usage 'name a file to look at' attend run -o map.png
fails $config 'texts without labels' train texts -o x --arch perceiver --steps 1
works prepare audio sounds -o unlabelled --rate 4000
fails $config 'documents without labels' train unlabelled -o x --arch perceiver-io --steps 1
fails $config 'outputs is 3, but set has 2' train set -o x --arch perceiver-io --outputs 3 --steps 1
for n in 1 2 3; do mkdir -p kinds/$n && cp sounds/low/l$n.wav sounds/high/h$n.wav kinds/$n; done
works prepare audio kinds --labels folders -o kinds-data --rate 4000 --split 100,0,0
fails $data 'documents of 3 classes, but run tells 2 apart' eval run --data kinds-data --split train
lacks x
no_leftovers
finish
