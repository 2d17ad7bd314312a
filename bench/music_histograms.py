#!/usr/bin/env python3
"""How alike music is: distances between histograms of notes.

    bench/music_histograms.py DATASET SAMPLES

DATASET was made by `perceiver prepare midi`, SAMPLES is one made from generated files, all of them in its train split.
Four histograms: pitch classes; the same above the most frequent one of each 200 notes, so that keys do not hide that
music has one; times from one note's beginning to the next one's (bins of 10 ms, 2 s and more in the last); velocities.
The distance is the total variation, half the sum of absolute differences: 0 the same, 1 nothing in common. Printed are
the distances from the test split of the samples; of the train split (what other music of the kind has); of as many of
its pieces as there are samples, cut to their lengths (what so little music of the kind has: the mean and the standard
deviation of 100 draws); and of events drawn uniformly at random. Needs numpy.
"""
import argparse

import numpy as np

from dataset import FIRST, documents, tokenizer

OFF, SHIFT, VELOCITY, EVENTS = 128, 256, 356, 388
LONGEST, NOTES = 200, 200


def pieces(folder, split):
    tokenizer(folder, "midi")
    return [np.array(ids, np.int64) for ids in documents(folder, split)]


def notes_of(ids):
    """Pitch, beginning and velocity of each note of a document."""
    events, now, velocity = ids[ids >= FIRST] - FIRST, 0, 0
    for event in events:
        if event >= VELOCITY:
            velocity = event - VELOCITY
        elif event >= SHIFT:
            now += event - SHIFT + 1
        elif event < OFF:
            yield event, now, velocity


def histograms(documents):
    """Shares of pitch classes, of those above the most frequent, of gaps between beginnings, of velocities; notes."""
    classes, above, gaps, velocities, count = np.zeros(12), np.zeros(12), np.zeros(LONGEST + 1), np.zeros(32), 0
    for ids in documents:
        notes = np.array(list(notes_of(ids)), np.int64).reshape(-1, 3)
        for i in range(0, len(notes), NOTES):
            here = np.bincount(notes[i:i + NOTES, 0] % 12, minlength=12)
            classes += here
            above += np.roll(here, -here.argmax())
        gaps += np.bincount(np.minimum(np.diff(notes[:, 1]), LONGEST), minlength=LONGEST + 1)
        velocities += np.bincount(notes[:, 2], minlength=32)
        count += len(notes)
    return [h / max(h.sum(), 1) for h in (classes, above, gaps, velocities)], count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("samples")
    a = parser.parse_args()
    rng = np.random.default_rng(1)
    test, count = histograms(pieces(a.dataset, "test"))
    samples, train = pieces(a.samples, "train"), pieces(a.dataset, "train")

    def distances(documents):
        shares, notes = histograms(documents)
        return [0.5 * np.abs(x - y).sum() for x, y in zip(shares, test)] + [notes]

    def draw():
        places = rng.choice(len(train), len(samples), len(samples) > len(train))
        return [train[i][:len(x)] for i, x in zip(places, samples)]

    draws = np.array([distances(draw()) for _ in range(100)])
    print(f"distance from the test split ({count} notes)    pitch class   above the most   inter-onset   velocity   notes")
    for name, d in (("samples", distances(samples)), ("train split", distances(train)),
                    (f"{len(samples)} pieces of the train split", draws.mean(0)), ("  standard deviation", draws.std(0)),
                    ("uniform noise", distances([rng.integers(FIRST, FIRST + EVENTS, 1 << 18)]))):
        print(f"{name:43s} {d[0]:14.3f} {d[1]:16.3f} {d[2]:13.3f} {d[3]:10.3f} {d[4]:8.0f}")


if __name__ == "__main__":
    main()
