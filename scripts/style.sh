#!/bin/sh
# House rules that can be counted: layers of includes, sizes of functions and files, the CLI and the
# examples on the public header alone, names of files in pages and comments.
set -eu
cd "$(dirname "$0")/.."
status=0
complain() {
    printf '%s\n' "$*" >&2
    status=1
}

# A folder includes only itself and folders in front of it. gen/ and eval/ stand before train/, because the trainer
# validates and writes samples.
order="base plugins config media tensor ops cpu cuda backends nn model token data gen report eval train measure compare api serve cli"
seen=
for folder in $order; do
    seen="$seen $folder"
    [ -d "src/$folder" ] || continue
    for include in $(grep -ho '^#include "[a-z]*/' src/"$folder"/*.c src/"$folder"/*.h 2>/dev/null |
        sed 's/.*"//; s|/||' | sort -u); do
        case " $seen " in
        *" $include "*) ;;
        *) complain "src/$folder includes $include/, which stands behind it" ;;
        esac
    done
done
if grep -n '#include "' src/cli/*.[ch] examples/*.c 2>/dev/null | grep -v '"cli/' | grep -v '"perceiver.h"'; then
    complain "the program and the examples use perceiver.h alone"
fi
if grep -nE '(^|[^>._a-zA-Z])(malloc|calloc|realloc|free)[(]' $(git ls-files 'src/*.c' ':!src/base' ':!src/cli'); then
    complain "memory comes from base/mem.h"
fi

# Sources that pages and comments name are there, anywhere; a star stands for any text.
for file in $(git ls-files '*.md' 'src/*.[ch]' 'src/*.cc' 'src/*.cu' 'include/*.h'); do
    comments='/\*|^ \*|//'
    case $file in *.md) comments= ;; esac
    for name in $(grep -E "$comments" "$file" | grep -v '# *include' |
        grep -oE '[a-z0-9_/*-]{2,}\.(c|h|cc|cu|md|sh)\b' | sort -u); do
        case $name in perceiver.c | sysexits.h | test.* | '*'.*) continue ;; esac # the project, and files of others
        [ -n "$(git ls-files "*/${name#*../}" "$name")" ] || complain "$file names $name, which is not there"
    done
done

# Files up to 800 lines; functions up to 100. A function starts at a line that ends with "{" in column
# one's scope and ends at "}" in column one.
for file in $(git ls-files 'src/*.c' 'src/*.cu' 'src/*.h' 'include/*.h' 'tests/*.c' 'tests/*.h' 'tests/cuda/*' 'examples/*.c'); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 800 ] || complain "$file: $lines lines, at most 800"
    wide=$(awk 'length > 120 { print NR; exit }' "$file")
    case $file in tests/*) wide= ;; esac # tests hold wide tables
    [ -z "$wide" ] || complain "$file:$wide: more than 120 columns"
    awk -v file="$file" '
        /^[A-Za-z].*\) \{$/ || /^ +[a-z].*\) \{$/ && !inside && prev ~ /^[A-Za-z]/ { start = NR; inside = 1 }
        /^}/ { if (inside && NR - start > 100) { print file ":" start ": a function of " NR - start " lines"; bad = 1 }
               inside = 0 }
        { prev = $0 }
        END { exit bad }' "$file" >&2 || status=1
done
[ "$status" = 0 ] && echo "style: fine"
exit "$status"
