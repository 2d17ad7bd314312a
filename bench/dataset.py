"""Data sets that `perceiver prepare` made, for the scripts beside this file."""
import array
import json
import os
import sys

FIRST = 3  # ids below are padding, end and start


def read_json(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return json.load(f)


def read_numbers(folder, name, kind):
    numbers = array.array(kind)
    with open(os.path.join(folder, name), "rb") as f:
        numbers.frombytes(f.read())
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def vocabulary(folder):
    return read_json(folder, "dataset.json")["vocab_size"]


def tokenizer(folder, kind):
    """Its tokenizer.json, which must be of this kind."""
    about = read_json(folder, "tokenizer.json")
    if about["kind"] != kind:
        raise SystemExit(f"{folder}: its tokenizer is '{about['kind']}', expected '{kind}'")
    return about


def documents(folder, split):
    """The ids of each document, the start token first."""
    ids = read_numbers(folder, split + ".tokens", "I" if vocabulary(folder) > 65536 else "H")
    ends = read_numbers(folder, split + ".index", "Q")
    return [ids[a:b] for a, b in zip(ends[:-1], ends[1:])]


def content(folder, split):
    """Values of 0 to 255 of each document, without start and end."""
    return [bytes(i - FIRST for i in ids if i >= FIRST) for ids in documents(folder, split)]
