#!/usr/bin/env bash
# What `perceiver prepare` does with the files and folders that people have: unreadable ones, binary ones, copies, named
# splits, many documents in a file, standard input. Usage: tests/folders.sh PERCEIVER
set -eu
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
enter "$1"
export OMP_NUM_THREADS=1
under_strace

made=0
prepare() { # prepare KIND ARGUMENT...: into a new folder, $set
    made=$((made + 1))
    set=set$made
    works prepare "$@" -o $set
}
refused() { # refused STATUS PATTERN KIND ARGUMENT...
    local expected=$1 pattern=$2
    shift 2
    ends "$expected" "$perceiver" prepare "$@" -o refused
    has err "$pattern"
    [ ! -e refused ] || fail "refused, but made"
    no_leftovers
}
documents() { # documents SPLIT: how many there are
    awk -v s="$1" '$1 == s { print $2 }' err
}
counts() { # counts TRAIN VALIDATION TEST
    equal "documents" "$(documents train) $(documents validation) $(documents test)" "$*"
}
content() { # content SPLIT: its documents, <each>
    od -An -v -tu2 $set/"$1".tokens | tr -s ' ' '\n' |
        awk 'NF { if ($1 == 2) printf "<"; else if ($1 == 1) printf ">"; else printf "%c", $1 - 3 }'
}
has_not() { ! grep -Eq -- "$2" "$1" || fail "expected $1 to have no '$2'"; }

make_texts

begin "unreadable folders and files"
mkdir -p open/shut open/deep/shut
cp text/[1-4].txt open
cp text/5.txt open/shut
cp text/6.txt open/deep/shut
cp text/7.txt open/secret.txt
chmod 0 open/shut open/deep/shut open/secret.txt
chmod 755 .
mkdir -m 777 out-here
as_nobody=""
[ "$(id -u)" != 0 ] || as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
if [ -z "$as_nobody" ] || { command -v setpriv && $as_nobody test -x "$perceiver"; } >names 2>&1; then
    # shellcheck disable=SC2086
    ends 0 $as_nobody "$perceiver" prepare text open -o out-here/set
    has err 'skipped open/shut: Permission denied'
    has err 'skipped open/deep/shut: Permission denied'
    has err 'skipped open/secret.txt: Permission denied'
    has err 'skipped 3 files: 3 unreadable'
    counts 2 1 1
    # shellcheck disable=SC2086
    ends 0 $as_nobody "$perceiver" prepare text open open/shut text/8.txt -o out-here/more --split 100,0,0
    counts 5 0 0
    # shellcheck disable=SC2086
    ends $data $as_nobody "$perceiver" prepare text open/shut open/shut/5.txt -o out-here/none
    has err 'nothing to learn from: .*skipped: 2 unreadable'
else
    skip "the program cannot be run as nobody here"
fi
chmod -R 755 open

begin "a read error inside one file"
if command -v strace >names 2>&1 && strace -f -qq -o trace true 2>names; then
    mkdir big
    for i in 1 2 3 4 5; do cat text/$i.txt text/*.txt text/*.txt text/*.txt text/*.txt >big/$i.txt; done
    for i in 1 2 3 4 5; do cat big/$i.txt big/$i.txt big/$i.txt big/$i.txt big/$i.txt >big/more; mv big/more big/$i.txt; done
    size=$(bytes big/3.txt)
    [ "$size" -gt 1100000 ] || fail "big/3.txt is too small to fail half way"
    prepare text big --split 100,0,0
    whole=$(awk '$1 == "train" { print $4 }' err)
    for when in 1 2; do # at its beginning, and half way
        ends 0 strace -f -qq -o trace -P big/3.txt -e trace=read -e inject=read:error=EIO:when=$when+ \
            "$perceiver" prepare text big -o hurt$when --split 100,0,0
        has err 'skipped big/3.txt: Input/output error'
        counts 4 0 0
        equal "bytes without the file" "$(awk '$1 == "train" { print $4 }' err)" $((whole - size))
        equal "train.tokens" "$(bytes hurt$when/train.tokens)" $((2 * (whole - size + 8)))
    done
    ends 0 strace -f -qq -o trace -P big/3.txt -e trace=read -e inject=read:error=EIO:when=2 \
        "$perceiver" prepare text big/2.txt big/3.txt big/1.txt -o hurt-few
    has err 'each is cut' # three, of which two are good
    counts 2 2 2
    ends 0 strace -f -qq -o trace -P open/deep -e trace=getdents64 -e inject=getdents64:error=EIO:when=2+ \
        "$perceiver" prepare text open -o hurt-folder
    has err 'skipped open/deep: Input/output error'
else
    skip "strace cannot trace here"
fi

begin "splits are dealt among the good"
mkdir some
for i in 1 2 3; do cp text/$i.txt some/$i.txt; done
for i in $(seq 30); do printf '\0%s' "$i" >some/bad$i; done
for seed in 1 2 3 4; do
    prepare text some --seed $seed
    counts 1 1 1
    has err 'skipped 30 files: 30 binary'
done
equal "files that are named one by one" "$(grep -c '^skipped some' err)" 3
equal "files that dataset.json lists" "$(grep -c 'binary' $set/dataset.json)" 30
first=$(content test | md5sum)
OMP_NUM_THREADS=3 prepare text some --seed 4
equal "another number of threads" "$(content test | md5sum)" "$first"
rm some/3.txt
prepare text some
counts 2 2 2
refused $data 'nothing to validate on: none of the files to validate on could be used' text --train text --validation some/bad1
has err 'some/bad1: binary'
refused $data 'nothing to test on' text --train text/1.txt --test some/bad2
printf 'x' >x
prepare text x
counts 1 0 0
has err 'the validation split is empty'

begin "splits by their names"
mkdir -p named
cp text/1.txt named/train.txt
cp text/2.txt named/validation.txt
cp text/3.txt named/test.txt
cp text/4.txt named/README.md
sha256sum named/*.txt >named/SHA256SUMS
cp text/5.txt named/.hidden
prepare text named
counts 1 1 1
has err 'splits as they are named: test.txt to test on, train.txt to train on, validation.txt to validate on'
has err 'skipped named/README.md: beside the splits'
has_not $set/dataset.json 'hidden'
equal "test" "$(content test | md5sum)" "$(printf '<%s\n>' "$(cat text/3.txt)" | md5sum)"
by_name=$(content train | md5sum)
prepare text named/*
equal "the same, named one by one" "$(content train | md5sum)" "$by_name"
prepare text named --split 50,25,25
counts 2 1 1
has err 'skipped named/SHA256SUMS: a list of checksums'
prepare text --train named/train.txt named/SHA256SUMS
counts 2 0 0
mkdir -p roots/{Train,dev,rest}
cp text/[123].txt roots/Train
cp text/[45].txt roots/dev
cp text/6.txt roots/rest
prepare text roots
counts 3 2 0
prepare text roots/Train/ roots/dev/
counts 3 2 0
by_names() { # by_names TRAIN VALIDATION TEST FILE...: files that are made in a folder, which is prepared
    local numbers="$1 $2 $3" i=0
    shift 3
    rm -rf here
    for file in "$@"; do
        i=$((i + 1))
        mkdir -p "here/$(dirname "$file")"
        cp text/$i.txt "here/$file"
    done
    prepare text here
    # shellcheck disable=SC2086
    counts $numbers
    has err 'splits as they are named: '
}
by_names 1 1 1 wiki.train.tokens wiki.valid.tokens wiki.test.tokens README.md
by_names 2 1 1 train-00000-of-00002.txt train-00001-of-00002.txt validation-00000-of-00001.txt test_1.txt notes
by_names 1 1 1 wiki/train.txt wiki/dev.txt wiki/test.txt README.md
by_names 2 0 2 a/train/1.txt a/test/1.txt b/train/1.txt b/test/1.txt notes
by_names 1 0 2 train.txt test.txt more/test.txt deep/er/test/5.txt test.md # too deep, and a page
for seed in 1 2 3; do # text-wikitext2 without its largest file
    rm -f named/train.txt
    refused $data 'nothing to train on: .* none is named train' text named --seed $seed
done
mkdir other
cp text/6.txt other/train.txt
cp text/7.txt other/README.md
prepare text named other # one with, one without something to train on
counts 1 1 1
has err 'skipped 3 files: 1 checksums, 2 beside the named splits'
mkdir plain
cp text/8.txt plain/notes.txt
prepare text named plain other/train.txt
counts 1 1 1
rm other/README.md
mkdir -p source/{test,dev,lib}
for name in test dev lib; do cp text/"${#name}".txt source/$name/notes; done
prepare text source # as source trees have them
has_not err 'as they are named'
mkdir programs
for name in train test model; do sentences "${#name}" 300 >programs/$name.py; done
echo more >>programs/test.py
prepare text programs
has_not err 'as they are named'
mv programs/model.py programs/train.md # one part alone is a name like any other
prepare text programs
has_not err 'as they are named'

begin "what is not text"
mkdir -p tree/{sub,node_modules}
cp text/1.txt tree/a.c
cp text/2.txt tree/sub/b.c
cp text/3.txt tree/sub/notes
cp text/4.txt tree/node_modules/c.c
printf '\177ELF\0\0' >tree/sub/b.o
printf '!<arch>\nx\0\0' >tree/lib.a
: >tree/sub/__init__.py
printf ' \n\n' >tree/blank.txt
prepare text tree --split 100,0,0
counts 4 0 0
has err 'skipped 4 files: 2 binary .*, 2 empty or blank'
prepare bytes tree --split 100,0,0
counts 7 0 0
prepare text tree --split 100,0,0 --include '*.c' --exclude node_modules
counts 2 0 0
has err '--include and --exclude left out'
prepare text --split 100,0,0 --exclude 'sub/*' --exclude '*.a' tree
counts 2 0 0
prepare text --split 100,0,0 --include 'sub/n*' tree
counts 1 0 0
refused $data 'left out others' text tree --include '*.h'
: >empty.txt
refused $data 'nothing to learn from' text empty.txt
refused $data 'nothing to learn from' bytes empty.txt
refused $data 'nothing to learn from' text tree/blank.txt
prepare bytes tree/blank.txt --split 100,0,0
refused $data 'nothing to learn from' image empty.txt x --split 100,0,0
refused $data 'nothing to learn from' image empty.txt
refused $data 'nothing to learn from' audio empty.txt --split 100,0,0
refused $data 'nothing to learn from' midi empty.txt --split 100,0,0

begin "each content once"
prepare text text text/3.txt text ./text/../text/5.txt
equal "documents" $(($(documents train) + $(documents validation) + $(documents test))) 8
has err '10 the same as another'
mkdir twice
cp text/[1-4].txt twice
cp text/1.txt twice/copy
ln text/2.txt twice/hard
ln -s ../text/3.txt twice/soft
prepare text twice --split 100,0,0
counts 4 0 0
has err 'the same as'
prepare text --train text --validation text/3.txt --test text/4.txt
counts 6 1 1
has err 'skipped text/3.txt: the same as text/3.txt, which is to validate on'
prepare text --train text/1.txt --validation text/2.txt --test text/2.txt
counts 1 1 1
has err 'warning: text/2.txt, to validate on, is the same as text/2.txt, to test on'
refused $data 'nothing to learn from' text --train text/1.txt --test text/1.txt

begin "cuts between characters"
printf '\303\251\342\202\254\360\237\230\200%.0s' $(seq 3000) >wide
for split in 50,25,25 37,31,32 90,5,5 34,33,33; do
    prepare text wide --split $split
    counts 1 1 1
    for part in train validation test; do
        content $part | tr -d '<>' | iconv -f UTF-8 -t UTF-8 >names 2>&1 || fail "$split: $part is not whole characters"
    done
    equal "all of it" "$(cat <(content train) <(content validation) <(content test) | tr -d '<>' | md5sum)" "$(md5sum <wide)"
done

begin "many documents in a file"
for i in $(seq 100); do echo "name$i"; done >names.txt
prepare text names.txt --documents lines
counts 90 5 5
has err 'their documents are dealt'
equal "all names" "$({ content train; content validation; content test; } | tr -d '<' | tr '>' '\n' | sort | md5sum)" \
    "$(sort names.txt | md5sum)"
equal "bytes" "$(awk '/^(train|validation|test) / { n += $4 } END { print n }' err)" $(($(bytes names.txt) - 100))
seed1=$(content test)
prepare text names.txt --documents lines --seed 2
[ "$(content test)" != "$seed1" ] || fail "another seed deals alike"
prepare text text --documents lines --split 50,25,25 # files enough: files are dealt
left_out=$(sed -n 's/^.* left out (\([0-9]*\))$/\1/p' err)
equal "lines" $(($(documents train) + $(documents validation) + $(documents test) + ${left_out:-0})) "$(cat text/*.txt | wc -l)"
for one in train validation test; do content $one | tr -d '<' | tr '>' '\n' | sort -u >lines.$one; done
equal "lines in two splits" "$(cat lines.train lines.validation lines.test | grep . | sort | uniq -d | wc -l)" 0
{ cat names.txt names.txt; head -n 40 names.txt; } >often.txt
prepare text often.txt --documents lines
equal "repeated names" "$(documents train) $(documents validation) $(documents test)" \
    "$(for one in train validation test; do content $one | tr -cd '>' | wc -c; done | tr '\n' ' ' | sed 's/ $//')"
equal "all names" $(($(documents train) + $(documents validation) + $(documents test))) 240
has err '140 documents are the same as one before: with it in one split, or left out \(0\)'
for one in train validation test; do content $one | tr -d '<' | tr '>' '\n' | sort -u >lines.$one; done
equal "names of each split" "$(grep -c . lines.train) $(grep -c . lines.validation) $(grep -c . lines.test)" "90 5 5"
equal "names in two splits" "$(cat lines.train lines.validation lines.test | grep . | sort | uniq -d | wc -l)" 0
head -n 7 names.txt >held.txt
prepare text --train names.txt --test held.txt --documents lines
counts 93 0 7
has err '7 documents are the same as one before: .* left out \(7\)'
head -n 5 held.txt >few.txt
prepare text --train names.txt few.txt --test held.txt --documents lines
counts 93 0 7
has err 'skipped few.txt: all its documents are in another split'
has_not err 'their documents'
prepare text --train names.txt --test x --documents lines
counts 100 0 1
printf 'first\nof all\n\n\n  second \n \nthird\n' >chat
prepare text chat --documents paragraphs --split 100,0,0
equal "paragraphs" "$(content train)" "<first
of all><  second ><third>"
printf 'one<|end|>two\n<|end|>\n' >parted
prepare text parted --documents 'separator:<|end|>' --split 100,0,0
equal "separated" "$(content train)" "<one><two
>"
printf '{"text": "a"}\nbroken\n{"text": "b"}\n{"other": 1}\n{"text": "c"}\n' >lines.jsonl
prepare text lines.jsonl --documents jsonl:text --split 100,0,0
equal "objects" "$(content train)" "<a><b><c>"
has err 'lines.jsonl: line 2: '
has err "lines.jsonl: line 4: 'text' is not there"
has err 'bad lines +2'
refused $data 'lines.jsonl: no document in it' text lines.jsonl --documents jsonl:txt
refused $usage "'line': expected lines" text names.txt --documents line
refused $usage 'for text alone' image names.txt --documents lines

begin "folders that are documents"
printed() { # printed FOLDER FILE...: the document
    (cd "$1" && shift && printf '<%s>' "$(tail -v -n +1 -- "$@" && echo .)") | sed 's/\.>$/>/'
}
mkdir -p projects/one/{a,train,test,.git} projects/two/deep/er projects/none
printf 'int a;\n' >projects/one/a/b.c
printf 'int no_end;' >projects/one/a-b.c
printf '\n\nint z;\n\n' >projects/one/z.c
printf 'learn\n' >projects/one/train/x
printf 'hidden\n' >projects/one/.git/config
: >projects/one/empty.c
printf '\177ELF\0\0' >projects/one/m.o
ln -s nowhere projects/one/n.c
ln -s . projects/one/circle
cp projects/one/a/b.c projects/one/test/copy.c
printf 'two\n' >projects/two/deep/er/2
printf 'the same\n' >projects/two/same
printf 'no project\n' >projects/README
printf '\0' >projects/none/x.o
one=$(printed projects/one a-b.c a/b.c train/x z.c) two=$(printed projects/two deep/er/2 same)
prepare text --train projects --documents folders
equal "a document of each folder" "$(content train)" "$(printed projects README)$one$two"
counts 3 0 0
has err '^7 files of 3 documents$'
has err 'skipped projects/one/test/copy.c: the same as projects/one/a/b.c'
has err 'skipped 6 files: 1 unreadable, 2 binary .*, 1 empty or blank, 1 the same as another, 1 behind links'
equal "bytes" "$(awk '$1 == "train" { print $4 }' err)" $(($(bytes $set/train.tokens) / 2 - 6))
equal "documents in dataset.json" "$(grep -c '"documents": 1' $set/dataset.json) $(grep -c '"documents": 0' $set/dataset.json)" "3 6"
prepare text --train projects/one/../two projects/one --documents folders # what these hold is a document
equal "files and folders" "$(documents train)" 6
prepare text --train projects --documents folders --include '*.c' --exclude 'one/a/*'
equal "chosen files" "$(content train)" "$(printed projects/one a-b.c test/copy.c z.c)"
prepare text --train projects projects/ --documents folders
equal "twice the same" "$(content train)" "$(printed projects README)$one$two"
mkdir held
cp -r projects/two held/project
printf 'more\n' >projects/two/more
prepare text --train projects --test held --documents folders
equal "what is tested on" "$(content test)" "$(printed held/project deep/er/2 same)"
equal "is not learned from" "$(content train)" "$(printed projects README)$one$(printed projects/two more)"
printf 'x\n' | "$perceiver" prepare text - -o in-folders --documents folders --split 100,0,0 2>err || fail "no standard input"
set=in-folders
equal "standard input" "$(content train)" "<==> standard input <==
x
>"
prepare bytes --train projects/none/.. --documents folders
counts 4 0 0
refused $usage 'too few folders to split' text projects --documents folders --exclude README
refused $usage 'for text alone' image projects --documents folders
rm -r projects/none projects/README
for i in $(seq 18); do
    mkdir -p projects/p$i/{train,test}
    for file in train/x test/y z; do sentences $i 300 >projects/p$i/$file; echo "$i $file" >>projects/p$i/$file; done
done
prepare text projects --documents folders # names within a document say nothing of splits
has_not err 'as they are named'
counts 18 1 1
for one in train validation test; do content $one | tr '>' '\n' | grep -Eo '^[0-9]+ (train/x|test/y|z)$' | cut -d ' ' -f 1; done |
    uniq -c | awk '$1 != 3 { bad = 1 } END { exit bad || NR != 18 }' || fail "a folder is in two splits, or not in one piece"
held_out=$(content validation; content test)
OMP_NUM_THREADS=3 prepare text projects --documents folders
equal "the same again" "$(content validation; content test)" "$held_out"
prepare text projects --documents folders --seed 2
[ "$(content validation; content test)" != "$held_out" ] || fail "another seed deals alike"
mkdir parts
mv projects parts/train
mkdir parts/{validation,test}
mv parts/train/p1 parts/validation
mv parts/train/p2 parts/train/two parts/test
echo beside >parts/notes
prepare text parts --documents folders
counts 17 1 2
has err 'splits as they are named: test to test on, train to train on, validation to validate on'
has err 'skipped parts/notes: beside the named splits|1 beside the named splits'
equal "validation" "$(content validation)" "$(printed parts/validation/p1 test/y train/x z)"

begin "what a tokenizer learns"
if [ -e "$(dirname "$perceiver")/perceiver-sentencepiece.so" ]; then
    { cat text/1.txt text/2.txt; for _ in $(seq 200); do echo ZZZZZZZZ; done; } >ends # its last tenth is another language
    prepare text ends --tokenizer sentencepiece:300 --split 80,10,10
    counts 1 1 1
    ! grep -q ZZ $set/sentencepiece.model || fail "the model has learned from what it is tested on"
    [ ! -e $set/lesson ] || fail "what was learned from is still there"
    for i in $(seq 128 191); do printf "\303\\$(printf %o "$i")\342\202\\$(printf %o "$i") "; done >signs
    refused $data '262 pieces are too few: .*take --tokenizer sentencepiece:[0-9]+ or more' \
        text --train signs --tokenizer sentencepiece:262
    ! grep -q '\.cc' err || fail "the library's own words"
    mkdir -p taught/{a,b,c}
    for i in a b c; do
        { sentences 3 300; echo "of $i"; } >taught/$i/x
        cp ends taught/$i/copy
        printf '\0' >taught/$i/binary
    done
    prepare text taught --tokenizer sentencepiece:300 --documents folders
    counts 1 1 1
    has err '4 files of 3 documents'
    has err '3 binary .*, 2 the same as another'
    learned=$set
    prepare text --train taught --tokenizer $learned/sentencepiece.model --documents folders
    junk=$set
    rm taught/*/binary taught/[bc]/copy
    prepare text --train taught --tokenizer $learned/sentencepiece.model --documents folders
    cmp $junk/train.tokens $set/train.tokens || fail "what was skipped is in the document"
    prepare text ends --tokenizer sentencepiece:300 --split 98,1,1
    grep -q ZZ $set/sentencepiece.model || fail "the model has not learned all that there is to train on"
else
    skip "no SentencePiece"
fi

begin "standard input"
names=$(cat names.txt)
last="prepare text -"
echo "$names" | "$perceiver" prepare text - -o piped --documents lines 2>err || fail "standard input is not taken"
counts 90 5 5
has piped/dataset.json '"path": "standard input"'
[ ! -e piped/standard-input ] || fail "the copy of standard input is still there"
cat text/1.txt | "$perceiver" prepare bytes --train - --test text/2.txt -o piped-bytes 2>err || fail "nor for --train"
counts 1 0 1
refused $usage 'can be read once' text - -
refused $data 'standard input: empty' text -
no_leftovers

begin "names have an end"
for i in $(seq 300); do echo abc; done >abc.txt
prepare text abc.txt --documents lines --split 98,1,1
works train $set -o run --context 16 --latents 8 --channels 32 --heads 2 --layers 1 --batch 8 --steps 120 --lr 0.01 --threads 1 \
    --warmup 5
works generate run --length 40 --temperature 0.1
equal "what was generated" "$(cat out)" abc
has err 'end of document'
finish
