#!/usr/bin/env python3
"""What a model gains from a long context, by word: bits of words that stood in the same document before, by how far back,
behind several contexts, beside their first occurrences.

    bench/recurrences.py RUN FILE... [--contexts 512,131072] [--train FOLDER] [--rare 20] [--perceiver PATH]

Each file is scored by `perceiver score RUN FILE --context C`, whose tokens must be bytes. Words are runs of letters, or
of what identifiers are made of, five bytes or more. With --train only words are counted that occur in that folder's
files less than --rare times. Prints a table: a row for each distance to the word's last occurrence, the words in it, and
the mean bits of a whole word behind each context, with standard errors over words.
"""
import argparse
import collections
import math
import os
import re
import subprocess

WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_']{4,}")
EDGES = [512, 4096, 32768, 131072]


def bits_of(perceiver, run, path, context):
    """Bits of each byte of a file."""
    command = [perceiver, "score", run, path, "--context", str(context)]
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
    return [-float(line.split()[-1]) / math.log(2) for line in out.splitlines() if line and not line.startswith("#")]


def row_of(distance):
    return next((i for i, e in enumerate(EDGES) if distance <= e), len(EDGES))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--contexts", default="512,131072")
    parser.add_argument("--train")
    parser.add_argument("--rare", type=int, default=20)
    parser.add_argument("--perceiver", default="perceiver")
    a = parser.parse_args()
    contexts = [int(c) for c in a.contexts.split(",")]
    known = collections.Counter()
    for folder, _, names in os.walk(a.train or ""):
        for name in names:
            known.update(WORD.findall(open(os.path.join(folder, name), "rb").read()))
    rows = collections.defaultdict(lambda: [[] for _ in contexts])
    for path in a.files:
        text = open(path, "rb").read()
        bits = [bits_of(a.perceiver, a.run, path, c) for c in contexts]
        for b in bits:
            if len(b) != len(text):
                raise SystemExit(f"{path}: {len(b)} scores for {len(text)} bytes; is the tokenizer bytes?")
        last = {}
        for m in WORD.finditer(text):
            word, at = m.group(), m.start()
            row = row_of(at - last[word]) if word in last else -1
            last[word] = at
            if a.train and known[word] >= a.rare:
                continue
            for i, b in enumerate(bits):
                rows[row][i].append(sum(b[at:m.end()]))
    names = ["the first time"] + [f"at most {e:,} back" for e in EDGES] + [f"more than {EDGES[-1]:,}"]
    print(f"{'last seen':22s}{'words':>9s}" + "".join(f"{'behind ' + format(c, ','):>20s}" for c in contexts))
    for row in sorted(rows):
        line = f"{names[row + 1]:22s}{len(rows[row][0]):9,d}"
        for values in rows[row]:
            n = len(values)
            mean = sum(values) / n
            deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / max(1, n - 1) / n)
            line += f"{mean:12.2f} +- {deviation:4.2f}"
        print(line)


if __name__ == "__main__":
    main()
