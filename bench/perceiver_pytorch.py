#!/usr/bin/env python3
"""Seconds and memory of one answer of a published Perceiver IO in transformers, beside `perceiver bench answer`.

    bench/perceiver_pytorch.py imagenet-fourier|imagenet-learned|imagenet-convolution|masked-bytes|optical-flow|kinetics
                               [THREADS]

Random weights, one example, no gradients; the median of three passes behind one to warm up. A pass of kinetics tells
one of 128 parts of the film, as published: 6,272 pixels and 15 pieces of sound. Needs torch, transformers."""
import resource
import statistics
import sys
import time

import torch
from transformers import (PerceiverConfig, PerceiverForImageClassificationConvProcessing,
                          PerceiverForImageClassificationFourier, PerceiverForImageClassificationLearned,
                          PerceiverForMaskedLM, PerceiverForMultimodalAutoencoding, PerceiverForOpticalFlow)

what, threads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
torch.set_num_threads(threads)
more = {}
picture = dict(num_latents=512, d_latents=1024, num_blocks=8, num_self_attends_per_block=6, num_self_attention_heads=8,
               num_cross_attention_heads=1, num_labels=1000, image_size=224)
if what == "imagenet-fourier":
    model = PerceiverForImageClassificationFourier(PerceiverConfig(d_model=261, **picture))
    inputs = torch.randn(1, 3, 224, 224)
elif what == "imagenet-learned":
    model = PerceiverForImageClassificationLearned(PerceiverConfig(d_model=512, **picture))
    inputs = torch.randn(1, 3, 224, 224)
elif what == "imagenet-convolution":
    model = PerceiverForImageClassificationConvProcessing(PerceiverConfig(d_model=322, **picture))
    inputs = torch.randn(1, 3, 224, 224)
elif what == "kinetics":
    model = PerceiverForMultimodalAutoencoding(PerceiverConfig(
        num_latents=784, d_latents=512, d_model=704, num_self_attends_per_block=8, num_self_attention_heads=8,
        num_cross_attention_heads=1, num_labels=700))
    inputs = {"image": torch.rand(1, 16, 3, 224, 224), "audio": torch.randn(1, 30720, 1), "label": torch.zeros(1, 700)}
    more = {"subsampled_output_points": {"image": torch.arange(6272), "audio": torch.arange(15), "label": None}}
elif what == "optical-flow":
    model = PerceiverForOpticalFlow(PerceiverConfig(
        num_latents=2048, d_latents=512, d_model=322, num_self_attends_per_block=24, num_self_attention_heads=16,
        num_cross_attention_heads=1, train_size=[368, 496]))
    inputs = torch.randn(1, 2, 27, 368, 496)
else:
    model = PerceiverForMaskedLM(PerceiverConfig(qk_channels=256, v_channels=1280))
    inputs = torch.randint(6, 262, (1, 2048))
model.eval()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seconds = []
with torch.no_grad():
    for i in range(4):
        start = time.perf_counter()
        model(inputs=inputs, **more)
        if i:
            seconds.append(time.perf_counter() - start)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
parameters = sum(p.numel() for p in model.parameters())
print(f"{what}: torch {torch.__version__}, {threads} threads: {statistics.median(seconds):.3f} s, {parameters:,} parameters, "
      f"{after / 1024:.0f} MiB at most, {(after - before) / 1024:.0f} more than the model loaded")
