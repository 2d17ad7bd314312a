#!/usr/bin/env python3
"""What a linear map of the values makes of labelled documents, beside the most frequent class.

    bench/linear_baseline.py DATA [--spectrum 256 --step 80 --frames 61]

Multinomial logistic regression on all values of a picture, on the log spectra of the first frames of a sound, or on its
first samples, with the weight decay that is best on the validation split. Needs numpy."""
import argparse
import sys

import numpy as np

from dataset import FIRST, documents, read_json, read_numbers


def sounds(docs, options):
    rows = []
    for ids in docs:
        steps = np.array([i - FIRST for i in ids if i >= FIRST], float)
        y = 2 * steps / 255 - 1
        x = np.sign(y) * np.expm1(np.abs(y) * np.log(256)) / 255
        x /= np.sqrt((x * x).mean()) + 1e-9
        count = options.frames * options.step
        x = np.pad(x[:count], (0, max(0, count - len(x))))
        if not options.spectrum:
            rows.append(x)
            continue
        w = options.spectrum
        padded = np.pad(x, w // 2)
        hann = (1 - np.cos(2 * np.pi * (np.arange(w) + 0.5) / w)) * np.sqrt(2) / w
        frames = [padded[i * options.step + options.step // 2:][:w] * hann for i in range(options.frames)]
        power = np.abs(np.fft.rfft(frames)[:, 1:]) ** 2
        rows.append((np.log10(power + 1e-4) + 1).ravel())
    return np.array(rows)


def pictures(docs):
    return np.array([[(i - FIRST) / 127.5 - 1 for i in ids if i >= FIRST] for ids in docs])


def train(x, y, classes, decay, steps=600):
    w, b = np.zeros((x.shape[1], classes)), np.zeros(classes)
    m, v = np.zeros_like(w), np.zeros_like(w)
    onehot = np.eye(classes)[y]
    for t in range(1, steps + 1):
        z = x @ w + b
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        d = (p - onehot) / len(x)
        g = x.T @ d + decay * w
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g * g
        w -= 0.01 * (m / (1 - 0.9 ** t)) / (np.sqrt(v / (1 - 0.99 ** t)) + 1e-8)
        b -= 0.5 * d.sum(0)
    return w, b


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data")
    p.add_argument("--spectrum", type=int, default=0)
    p.add_argument("--step", type=int, default=80)
    p.add_argument("--frames", type=int, default=61)
    o = p.parse_args()
    classes = len(read_json(o.data, "dataset.json").get("labels", []))
    if not classes:
        sys.exit(f"{o.data}: its documents have no labels")
    is_picture = read_json(o.data, "tokenizer.json")["kind"] == "image"
    x, y = {}, {}
    for split in ("train", "validation", "test"):
        docs = documents(o.data, split)
        x[split] = pictures(docs) if is_picture else sounds(docs, o)
        y[split] = np.array(read_numbers(o.data, split + ".labels", "i"))
    mean, scale = x["train"].mean(0), x["train"].std(0) + 1e-3
    for split in x:
        x[split] = (x[split] - mean) / scale
    best = (-1, 0, 0)
    for decay in (1e-3, 1e-2, 1e-1, 1):
        w, b = train(x["train"], y["train"], classes, decay)
        right = {s: float(((x[s] @ w + b).argmax(1) == y[s]).mean()) for s in ("validation", "test")}
        best = max(best, (right["validation"], right["test"], decay))
    most = np.bincount(y["test"], minlength=classes).max() / len(y["test"])
    n = len(y["test"])
    error = (best[1] * (1 - best[1]) / n) ** 0.5
    print(f"{n} test documents, {classes} classes: the most frequent {100 * most:.1f} %, "
          f"linear {100 * best[1]:.1f} +- {100 * error:.1f} % (decay {best[2]:g})")


main()
