#!/usr/bin/env python3
"""What a table of counts makes of a data set: nats and bits per token of the test split under an interpolated context
model (Witten and Bell 1991) whose counts come from the train split.

    bench/context_model.py DATASET [--offsets 1,2,3] [--period P]

A token's context is the tokens that stand `offsets` in front of it; none: a histogram. With a period, tokens of each
index modulo P have counts of their own: 3 for the channels of pictures in raster order, where --offsets 3 is the same
channel of the pixel before. Needs numpy.
"""
import argparse
import math

import numpy as np

import dataset


def rows(docs, offsets, period, vocabulary):
    """Keys of the contexts of growing order, [orders + 1, tokens], and the tokens; the start token is no target."""
    keys, targets = [], []
    for d in docs:
        d = np.array(d, np.int64)
        at = np.arange(1, len(d))
        key = (at - 1) % period
        levels = [key]
        for o in offsets:
            before = np.where(at - o >= 0, d[np.maximum(at - o, 0)], vocabulary)
            key = key * (vocabulary + 1) + before
            levels.append(key)
        keys.append(np.stack(levels))
        targets.append(d[1:])
    return np.concatenate(keys, 1), np.concatenate(targets)


def lookup(sorted_keys, values, wanted):
    place = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[place] == wanted, values[place], 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--offsets", default="")
    parser.add_argument("--period", type=int, default=1)
    a = parser.parse_args()
    offsets = [int(x) for x in a.offsets.split(",") if x]
    vocabulary = dataset.vocabulary(a.dataset)
    if (vocabulary + 1) ** (len(offsets) + 1) * a.period >= 2**63:
        raise SystemExit("too many offsets for this vocabulary")
    keys, targets = rows(dataset.documents(a.dataset, "train"), offsets, a.period, vocabulary)
    test_keys, test_targets = rows(dataset.documents(a.dataset, "test"), offsets, a.period, vocabulary)
    p = np.full(len(test_targets), 1 / vocabulary)
    for level in range(len(offsets) + 1):
        pairs, pair_counts = np.unique(keys[level] * vocabulary + targets, return_counts=True)
        contexts, kinds = np.unique(pairs // vocabulary, return_counts=True)
        sums = np.bincount(np.searchsorted(contexts, pairs // vocabulary), pair_counts)
        wanted = test_keys[level]
        n, t = lookup(contexts, sums, wanted), lookup(contexts, kinds, wanted)
        c = lookup(pairs, pair_counts, wanted * vocabulary + test_targets)
        p = np.where(n > 0, (c + t * p) / np.maximum(n + t, 1), p)
    nats = -np.log(p).mean()
    print(f"{a.dataset}: {len(test_targets)} test tokens, offsets {offsets}, period {a.period}: "
          f"{nats:.4f} nats, {nats / math.log(2):.4f} bits per token")


if __name__ == "__main__":
    main()
