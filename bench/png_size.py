#!/usr/bin/env python3
"""What PNG makes of a data set of pictures: bits per dimension of the test split.

    bench/png_size.py DATASET

DATASET was made by `perceiver prepare image` with --order raster. Each picture becomes an RGB file, which
`zopflipng -m` or `optipng -o7`, whichever is installed, makes as small as it can. Said are the whole files and the
compressed data in them alone.
"""
import concurrent.futures
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

from dataset import content


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values, side):
    rows = b"".join(b"\0" + values[y * 3 * side:(y + 1) * 3 * side] for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def compressed(path):
    """Bytes in the chunks that hold the pixels: IDAT, and the palette."""
    total, at = 0, 8
    with open(path, "rb") as f:
        data = f.read()
    while at < len(data):
        size, = struct.unpack(">I", data[at:at + 4])
        if data[at + 4:at + 8] in (b"IDAT", b"PLTE", b"tRNS"):
            total += size
        at += size + 12
    return total


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    if shutil.which("zopflipng"):
        name, command = "zopflipng -m", lambda path: ["zopflipng", "-y", "-m", path, path]
    elif shutil.which("optipng"):
        name, command = "optipng -o7", lambda path: ["optipng", "-quiet", "-o7", path]
    else:
        raise SystemExit("png_size.py: needs zopflipng or optipng")
    with tempfile.TemporaryDirectory() as folder:
        paths, values = [], 0
        for i, p in enumerate(content(sys.argv[1], "test")):
            paths.append(os.path.join(folder, f"{i}.png"))
            values += len(p)
            with open(paths[-1], "wb") as f:
                f.write(png(p, round((len(p) / 3) ** 0.5)))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda path: subprocess.run(command(path), check=True, stdout=subprocess.DEVNULL), paths))
        whole, inner = sum(map(os.path.getsize, paths)), sum(map(compressed, paths))
    print(f"{sys.argv[1]}: {len(paths)} test pictures, {name}: {8 * whole / values:.4f} bits per dimension, "
          f"{8 * inner / values:.4f} without the headers")


if __name__ == "__main__":
    main()
