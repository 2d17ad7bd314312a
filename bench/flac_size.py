#!/usr/bin/env python3
"""What FLAC makes of sound: bits of a second of the test split.

    bench/flac_size.py DATASET FOLDER

DATASET was made by `perceiver prepare audio` with --codec mulaw, FOLDER holds the files of its test split. Said are the
8-bit codes, as if they were samples: the same data as the model's; and the files as 16-bit samples. Needs `flac`.
"""
import os
import subprocess
import sys

from dataset import content, tokenizer


def packed(arguments, data=None):
    done = subprocess.run(["flac", "-8", "--totally-silent", "-c", *arguments], input=data, stdout=subprocess.PIPE, check=True)
    return len(done.stdout)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    dataset, folder = sys.argv[1:]
    rate = tokenizer(dataset, "mulaw")["config"]["rate"]
    codes = content(dataset, "test")
    seconds = sum(map(len, codes)) / rate
    raw = ["--force-raw-format", "--bps=8", "--channels=1", f"--sample-rate={rate}", "--sign=unsigned", "--endian=little"]
    eight = sum(packed([*raw, "-"], c) for c in codes)
    sixteen = sum(packed([os.path.join(folder, name)]) for name in sorted(os.listdir(folder)))
    print(f"{dataset}: {seconds:.1f} s; FLAC of the codes {8 * eight / seconds / 1000:.1f} kbit/s, "
          f"{8 * eight / seconds / rate:.3f} bits a sample; of the files {8 * sixteen / seconds / 1000:.1f} kbit/s")


if __name__ == "__main__":
    main()
