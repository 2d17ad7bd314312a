"""Times krasserm/perceiver-io's Perceiver AR in PyTorch on the CPU, for comparison with `perceiver bench`.

krasserm.py train CONTEXT | generate CONTEXT
Environment: PERCEIVER_IO names a checkout of github.com/krasserm/perceiver-io (its Perceiver AR needs einops
and fairscale installed, or stand-ins on PYTHONPATH). For Debian's PyTorch also set OPENBLAS_CORETYPE=SkylakeX
(or Zen), ATEN_CPU_CAPABILITY=avx512 and LD_LIBRARY_PATH to the OpenMP build of OpenBLAS: as installed it is
several times slower. THREADS (2) and PRECISION (f32; bf16: autocast) as in side_by_side.sh.
Prints CSV: what, context, median seconds, fastest, peak resident bytes."""
import os
import resource
import sys
import time

sys.path.insert(0, os.environ["PERCEIVER_IO"])
import torch
import torch.nn.functional as F
from perceiver.model.core.config import CausalSequenceModelConfig
from perceiver.model.core.modules import CausalSequenceModel

what, context = sys.argv[1], int(sys.argv[2])
vocab, latents = 262, 512
torch.set_num_threads(int(os.environ.get("THREADS", "2")))
torch.manual_seed(0)
half = os.environ.get("PRECISION", "f32") == "bf16"
model = CausalSequenceModel(CausalSequenceModelConfig(
    vocab_size=vocab, max_seq_len=context, max_latents=latents, num_channels=512, num_heads=8,
    num_self_attention_layers=8, cross_attention_dropout=0.0))


def report(seconds):
    seconds = sorted(seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{what},{context},{seconds[len(seconds) // 2]:.4f},{seconds[0]:.4f},{peak}", flush=True)


def train():
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x = torch.randint(0, vocab, (1, context + 1))
    times = []
    for step in range(7):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(x[:, :-1], prefix_len=context - latents).logits
            loss = F.cross_entropy(logits.reshape(-1, vocab), x[0, -latents:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step >= 2:
            times.append(time.perf_counter() - start)
    report(times)


@torch.no_grad()
def generate():
    model.eval()
    prompt, new = context // 2, 128
    x = torch.randint(0, vocab, (1, prompt))
    prefix = prompt - latents
    out = model(x, prefix_len=prefix, kv_cache=[])
    times = []
    for _ in range(new):
        start = time.perf_counter()
        token = out.logits[:, -1].argmax(-1, keepdim=True)
        prefix += 1  # the latents are full: the oldest slides out
        cache = [out.kv_cache[0]] + [(k[:, 1 - latents:], v[:, 1 - latents:]) for k, v in out.kv_cache[1:]]
        out = model(token, prefix_len=prefix, kv_cache=cache)
        times.append(time.perf_counter() - start)
    report(times)


train() if what == "train" else generate()
