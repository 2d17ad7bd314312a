#!/usr/bin/env python3
"""How alike music is: distances between histograms of notes.

    bench/music_histograms.py DATASET SAMPLES

DATASET was made by `perceiver prepare midi`, SAMPLES is one made from generated files, all of them in its train split.
Three histograms: pitch classes, times from one note's beginning to the next one's (bins of 10 ms, 2 s and more in the
last), velocities. The distance is the total variation, half the sum of absolute differences: 0 the same, 1 nothing in
common. Printed are the distances from the test split of the samples, of the train split (what other music of the kind
has), and of events drawn uniformly at random. Needs numpy.
"""
import argparse
import json
import os

import numpy as np

FIRST, OFF, SHIFT, VELOCITY, EVENTS = 3, 128, 256, 356, 388
LONGEST = 200


def tokens(folder, split):
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as f:
        about = json.load(f)
    if about["kind"] != "midi":
        raise SystemExit(f"{folder}: its tokenizer is '{about['kind']}', expected 'midi'")
    ids = np.fromfile(os.path.join(folder, split + ".tokens"), "<u2").astype(np.int64)
    ends = np.fromfile(os.path.join(folder, split + ".index"), "<u8").astype(np.int64)
    return [ids[a:b] for a, b in zip(ends[:-1], ends[1:])]


def histograms(documents):
    """Shares of pitch classes, gaps between beginnings, velocities, and the number of notes."""
    pitch, gap, loud, notes = np.zeros(12), np.zeros(LONGEST + 1), np.zeros(32), 0
    for ids in documents:
        events = ids[ids >= FIRST] - FIRST
        now = np.cumsum(np.where((events >= SHIFT) & (events < VELOCITY), events - SHIFT + 1, 0))
        velocity, latest = 0, None
        for event, time in zip(events, now):
            if event >= VELOCITY:
                velocity = event - VELOCITY
            elif event < OFF:
                pitch[event % 12] += 1
                loud[velocity] += 1
                if latest is not None:
                    gap[min(time - latest, LONGEST)] += 1
                latest = time
                notes += 1
    return [h / max(h.sum(), 1) for h in (pitch, gap, loud)], notes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("samples")
    a = parser.parse_args()
    test, count = histograms(tokens(a.dataset, "test"))
    noise = np.random.default_rng(1).integers(FIRST, FIRST + EVENTS, 1 << 18)
    print(f"distance from the test split ({count} notes)   pitch class   inter-onset   velocity   notes")
    for name, documents in (("samples", tokens(a.samples, "train")), ("train split", tokens(a.dataset, "train")),
                            ("uniform noise", [noise])):
        shares, count = histograms(documents)
        d = [0.5 * np.abs(x - y).sum() for x, y in zip(shares, test)]
        print(f"{name:43s} {d[0]:14.3f} {d[1]:13.3f} {d[2]:10.3f} {count:7d}")


if __name__ == "__main__":
    main()
