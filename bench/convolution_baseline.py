#!/usr/bin/env python3
"""What a small convolutional network makes of labelled pictures, as they are and with their pixels permuted.

    bench/convolution_baseline.py DATA [--permute SEED] [--minutes 3] [--seed 1] [--threads 1]

Three times a 3 x 3 convolution, batch norm, relu and a maximum over 2 x 2, then a linear map of the mean; AdamW, pictures
mirrored and moved by up to 3 pixels. With --permute all pixels change places by one order, the same for every picture,
behind these changes, as `perceiver train --permute` does. Needs numpy and torch."""
import argparse
import time

import numpy as np
import torch
from torch import nn

from dataset import content, read_numbers


def read(data, split):
    labels = read_numbers(data, split + ".labels", "i")
    x = np.array([[v / 127.5 - 1 for v in picture] for picture in content(data, split)], np.float32)
    size = int((x.shape[1] / 3) ** 0.5)
    return torch.tensor(x.reshape(-1, size, size, 3).transpose(0, 3, 1, 2).copy()), torch.tensor(labels)


def changed(x, reach=3):
    out = torch.zeros_like(x)
    for i, picture in enumerate(x):
        if torch.rand(()) < 0.5:
            picture = picture.flip(2)
        down, right = (int(v) for v in torch.randint(-reach, reach + 1, (2,)))
        out[i] = torch.roll(picture, (down, right), (1, 2))
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data")
    p.add_argument("--permute", type=int, default=0)
    p.add_argument("--minutes", type=float, default=3)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=1)
    o = p.parse_args()
    torch.manual_seed(o.seed)
    torch.set_num_threads(o.threads)
    (x, y), (xt, yt) = read(o.data, "train"), read(o.data, "test")
    pixels = x.shape[2] * x.shape[3]
    order = np.random.default_rng(o.permute).permutation(pixels) if o.permute else np.arange(pixels)

    def seen(pictures):
        return pictures.flatten(2)[:, :, order].view_as(pictures)

    blocks, before = [], 3
    for channels in (32, 64, 128):
        blocks += [nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)]
        before = channels
    model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2),
                          nn.Linear(before, int(y.max()) + 1))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    start, updates = time.time(), 0
    while (done := (time.time() - start) / (60 * o.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 + np.cos(np.pi * done))
        i = torch.randint(len(x), (32,))
        optimizer.zero_grad()
        loss(model(seen(changed(x[i]))), y[i]).backward()
        optimizer.step()
        updates += 1
    model.eval()
    with torch.no_grad():
        right = (model(seen(xt)).argmax(1) == yt).float().mean().item()
    error = (right * (1 - right) / (len(yt) - 1)) ** 0.5
    print(f"{o.data}: {updates} updates, permuted {o.permute}: {100 * right:.1f} % +- {100 * error:.1f} of {len(yt)}")


if __name__ == "__main__":
    main()
