#!/usr/bin/env python3
"""What xz and zstd make of text: bits per byte of each document of the test split, and of all of them.

    bench/packed_size.py DATASET [NAME...]

DATASET was made by `perceiver prepare text` with the tokenizer of bytes. Each document is packed by itself, as it stands in the
data set: the bytes that a model is asked for. NAMEs are said in place of numbers. Needs `xz` and `zstd`.
"""
import subprocess
import sys

from dataset import content, tokenizer

PACKERS = (["xz", "-9e", "-c"], ["zstd", "--ultra", "-22", "--long=31", "-c", "-q"])


def packed(command, data):
    return len(subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout)


def row(name, size, sizes):
    print("\t".join([str(name), str(size)] + [f"{8 * s / size:.4f}" for s in sizes]), flush=True)


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    dataset, names = sys.argv[1], sys.argv[2:]
    tokenizer(dataset, "bytes")
    documents = content(dataset, "test")
    print("\t".join(["document", "bytes"] + [" ".join(p[:-1] if p[0] == "xz" else p[:-2]) for p in PACKERS]))
    sums = [0] * len(PACKERS)
    for i, document in enumerate(documents):
        sizes = [packed(p, document) for p in PACKERS]
        sums = [a + b for a, b in zip(sums, sizes)]
        row(names[i] if i < len(names) else i, len(document), sizes)
    row("all", sum(map(len, documents)), sums)


if __name__ == "__main__":
    main()
