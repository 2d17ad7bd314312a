"""Times training steps of Perceiver AR in PyTorch on a GPU, for comparison with `perceiver bench train`.

cuda_pytorch.py --model a,b,c --batch N[,N...] [--steps K] | --ceiling | --attention
Models, written for speed with what PyTorch itself brings: the parameters of each are as many as ours.
  a  krasserm's byte model: 512 channels, 8 heads, 8 layers, 512 latents, context 4,096
  b  the published model of the copy task: 1,024 channels, 16 heads, 6 layers, 1,024 latents, context 131,072
  c  the published model of ImageNet 64: 60 layers, context 12,289, otherwise as b
Several batches for one model are tried in turn; several models take a batch each. One line a try: milliseconds of a
step (the median, by CUDA events), tokens read a second, memory, and TFLOP/s by the formula of `perceiver plan`
(three forward passes, masked scores included). What fails, for want of memory too, is told in a line of its own.
Needs PyTorch 2.5 or later and nothing else."""
import argparse
import gc
import statistics
import time
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right
from torch.utils.checkpoint import checkpoint

aten = torch.ops.aten
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION,
            "efficient": SDPBackend.EFFICIENT_ATTENTION, "math": SDPBackend.MATH}


@dataclass
class Shape:
    channels: int
    heads: int
    layers: int
    latents: int
    context: int
    vocab: int
    official: bool     # google-research/perceiver-ar; else krasserm/perceiver-io
    positions: str     # learned, sinusoidal (fixed), or axes: of a picture of 64 x 64 pixels, learned
    dropout: float
    together: int      # layers that are compiled as one, so that 60 do not take 60 times as long
    parameters: int    # of ours

    def flops(self):
        """Of a forward pass over one sequence."""
        M, N, Z = self.context, self.latents, self.channels
        mlp = 16 * N * Z * Z
        cross = 4 * N * Z * Z + 4 * M * Z * Z + 4 * N * M * Z + mlp + (2 * N * Z * Z if self.official else 0)
        return cross + self.layers * (8 * N * Z * Z + 4 * N * N * Z + mlp) + 2 * N * Z * self.vocab


MODELS = {
    "a": Shape(512, 8, 8, 512, 4096, 262, False, "learned", 0.0, 8, 30563078),
    "b": Shape(1024, 16, 6, 1024, 131072, 259, True, "sinusoidal", 0.1, 6, 89757955),
    "c": Shape(1024, 16, 60, 1024, 12289, 259, True, "axes", 0.1, 4, 770094339),
}


# ---------------------------------------------------------------- attention

class Joined(torch.autograd.Function):
    """Bottom-right causal attention by cuDNN, whose causal mask is top-left: the prefix, which all latents see, and
    the latents' own keys are two calls, joined by their log-sums. Given the joined output and log-sum, each call's
    backward pass gives its own part of the gradients."""

    @staticmethod
    def part(q, k, v, causal):
        if not q.is_cuda:
            return aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal)
        return aten._scaled_dot_product_cudnn_attention(q, k, v, None, True, 0.0, causal, False)

    @staticmethod
    def part_backward(do, q, k, v, o, lse, rest, causal):
        if not q.is_cuda:
            return aten._scaled_dot_product_flash_attention_for_cpu_backward(do, q, k, v, o, lse, 0.0, causal)
        query_ends, key_ends, longest_q, longest_k, seed, offset = rest[:6]
        return aten._scaled_dot_product_cudnn_attention_backward(
            do, q, k, v, o, lse, seed, offset, None, query_ends, key_ends, longest_q, longest_k, 0.0, causal)

    @staticmethod
    def forward(ctx, q, k, v):
        P = k.shape[2] - q.shape[2]
        o1, lse1, *ctx.rest1 = Joined.part(q, k[:, :, :P], v[:, :, :P], False)
        o2, lse2, *ctx.rest2 = Joined.part(q, k[:, :, P:], v[:, :, P:], True)
        lse = torch.logaddexp(lse1, lse2)
        column = (*q.shape[:3], 1)
        o = o1 * (lse1 - lse).exp().view(column) + o2 * (lse2 - lse).exp().view(column)
        o = o.to(q.dtype).transpose(1, 2).contiguous().transpose(1, 2)
        ctx.save_for_backward(q, k, v, o, lse)
        return o

    @staticmethod
    def backward(ctx, do):
        q, k, v, o, lse = ctx.saved_tensors
        P = k.shape[2] - q.shape[2]
        do = do.transpose(1, 2).contiguous().transpose(1, 2)
        dq1, dk1, dv1 = Joined.part_backward(do, q, k[:, :, :P], v[:, :, :P], o, lse, ctx.rest1, False)
        dq2, dk2, dv2 = Joined.part_backward(do, q, k[:, :, P:], v[:, :, P:], o, lse, ctx.rest2, True)
        return dq1 + dq2, Joined.along_rows(dk1, dk2), Joined.along_rows(dv1, dv2)

    @staticmethod
    def along_rows(a, b):
        """Laid out as the projections want them: [B, M, H, D]."""
        return torch.cat([a.transpose(1, 2), b.transpose(1, 2)], 1).transpose(1, 2)


def attend_cross(q, k, v, kernel):
    """q [B, H, N, D], k and v [B, H, M, D]; the last query sees all keys, the one before it one less ..."""
    if kernel == "cudnn":
        return Joined.apply(q, k, v)
    with sdpa_kernel(BACKENDS[kernel]):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(q.shape[2], k.shape[2]))


def attend_self(q, k, v, kernel):
    with sdpa_kernel(BACKENDS[kernel]):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def attend_open(q, k, v, kernel):
    """Without a mask: what the kernels can do at best."""
    with sdpa_kernel(BACKENDS[kernel]):
        return F.scaled_dot_product_attention(q, k, v)


# ---------------------------------------------------------------- the model

class Lookup(torch.autograd.Function):
    """Rows of a small table. Its gradient is a product with the one-hot ids, far faster than the sum of a million
    rows into 262 by their index."""

    @staticmethod
    def forward(ctx, ids, table):
        ctx.save_for_backward(ids)
        ctx.like = table.shape[0], table.dtype
        return F.embedding(ids, table)

    @staticmethod
    def backward(ctx, dy):
        ids, = ctx.saved_tensors
        rows, dtype = ctx.like
        narrow = torch.bfloat16 if dy.is_cuda else dy.dtype
        hot = (torch.arange(rows, device=ids.device)[:, None] == ids.flatten()[None]).to(narrow)
        return None, (hot @ dy.flatten(0, -2).to(narrow)).to(dtype)


def split_heads(x, heads):
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def join_heads(x):
    return x.transpose(1, 2).flatten(2)


def rotate(x, turn):
    """Neighbouring pairs of the first half of each head's channels, x [B, H, N, D]."""
    cos, sin = turn[0][-x.shape[2]:], turn[1][-x.shape[2]:]
    n = 2 * cos.shape[-1]
    a, b = x[..., :n:2].float(), x[..., 1:n:2].float()
    turned = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
    return torch.cat([turned.to(x.dtype), x[..., n:]], -1)


class MLP(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.norm = nn.LayerNorm(s.channels)
        self.up = nn.Linear(s.channels, 4 * s.channels, bias=s.official)
        self.down = nn.Linear(4 * s.channels, s.channels, bias=s.official)
        self.s = s

    def forward(self, x):
        h = self.up(self.norm(x))
        h = F.relu(h).square() if self.s.official else F.gelu(h)
        return x + F.dropout(self.down(h), self.s.dropout)


class Inputs(nn.Module):
    """Token ids -> initial latents [B, N, Z], and the queries, keys and values of the cross-attention."""

    def __init__(self, s, args):
        super().__init__()
        Z, M = s.channels, s.context
        self.s, self.library = s, args.embedding == "library"
        self.token = nn.Parameter(torch.randn(s.vocab, Z) * (1 if s.official else 0.02))
        if s.positions == "learned":
            self.place = nn.ParameterList([torch.randn(M, Z) * 0.02])
        elif s.positions == "axes":
            self.place = nn.ParameterList([torch.randn(rows, Z) for rows in (66, 66, 5)])
            i = torch.arange(M) - 1
            at = torch.stack([i // 3 % 64, i // 192 % 64, i % 3]) + 2
            at[:, 0] = 1
            self.register_buffer("at", at, persistent=False)
        else:
            angle = torch.arange(1, M + 1)[:, None] * torch.exp(torch.arange(Z // 2) * (-9.2103404 / (Z // 2 - 1)))
            self.register_buffer("table", torch.cat([angle.sin(), angle.cos()], 1), persistent=False)
        if s.official:
            self.start = nn.Linear(Z, Z)
        self.query_norm, self.input_norm = nn.LayerNorm(Z), nn.LayerNorm(Z)
        self.query = nn.Linear(Z, Z, bias=s.official)
        self.key_value = nn.Linear(Z, 2 * Z, bias=s.official)

    def positions(self):
        if self.s.positions == "sinusoidal":
            return self.table
        if self.s.positions == "learned":
            return self.place[0]
        return sum(F.embedding(at, table) for at, table in zip(self.at, self.place))

    def forward(self, ids, turn):
        s, N = self.s, self.s.latents
        x = F.embedding(ids, self.token) if self.library else Lookup.apply(ids, self.token)
        x = x + self.positions()
        z = self.start(x[:, -N:]) if s.official else x[:, -N:]
        nz = self.query_norm(z)
        nx = self.input_norm(x) if s.official else torch.cat([self.input_norm(x[:, :-N]), nz], 1)
        q = split_heads(self.query(nz), s.heads)
        k, v = (split_heads(y, s.heads) for y in self.key_value(nx).chunk(2, -1))
        if not s.official:
            q, k = rotate(q, turn), rotate(k, turn)
        return z, q, k, v


class Cross(nn.Module):
    """What follows the cross-attention."""

    def __init__(self, s):
        super().__init__()
        self.output, self.mlp, self.s = nn.Linear(s.channels, s.channels), MLP(s), s

    def forward(self, z, o):
        return self.mlp(z + F.dropout(self.output(join_heads(o)), self.s.dropout))


class Layer(nn.Module):
    def __init__(self, s, rotary):
        super().__init__()
        Z = s.channels
        self.norm, self.qkv = nn.LayerNorm(Z), nn.Linear(Z, 3 * Z, bias=s.official)
        self.output, self.mlp = nn.Linear(Z, Z, bias=s.official), MLP(s)
        self.s, self.rotary = s, rotary

    def forward(self, z, turn):
        q, k, v = (split_heads(y, self.s.heads) for y in self.qkv(self.norm(z)).chunk(3, -1))
        if self.rotary:
            q, k = rotate(q, turn), rotate(k, turn)
        o = join_heads(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return self.mlp(z + F.dropout(self.output(o), self.s.dropout))


class Stack(nn.Module):
    def __init__(self, layers, recompute):
        super().__init__()
        self.layers, self.recompute = nn.ModuleList(layers), recompute

    def forward(self, z, turn):
        for layer in self.layers:
            z = checkpoint(layer, z, turn, use_reentrant=False) if self.recompute else layer(z, turn)
        return z


class Head(nn.Module):
    """The mean loss; krasserm's has no norm and shares the token table."""

    def __init__(self, s):
        super().__init__()
        self.norm = nn.LayerNorm(s.channels) if s.official else nn.Identity()
        if s.official:
            self.weight = nn.Parameter(torch.randn(s.vocab, s.channels) / s.channels ** 0.5)
        self.bias = nn.Parameter(torch.zeros(s.vocab))

    def forward(self, z, token, targets):
        logits = F.linear(self.norm(z), getattr(self, "weight", token), self.bias).float().flatten(0, 1)
        z_loss = 1e-4 * logits.logsumexp(-1).square().mean()
        return F.cross_entropy(logits, targets.flatten()) + z_loss


class Perceiver(nn.Module):
    def __init__(self, s, args):
        super().__init__()
        self.s = s
        self.inputs, self.cross, self.head = Inputs(s, args), Cross(s), Head(s)
        layers = [Layer(s, rotary=not s.official and l == 0) for l in range(s.layers)]
        self.stacks = nn.ModuleList(Stack(layers[l:l + s.together], args.recompute)
                                    for l in range(0, s.layers, s.together))
        width = s.channels // s.heads
        angle = torch.arange(s.context)[:, None] * 10000.0 ** (-torch.arange(width // 4) / (width // 4))
        self.register_buffer("turn", torch.stack([angle.cos(), angle.sin()]), persistent=False)

    def compile_parts(self):
        """The cross-attention between them is a kernel of its own in any case."""
        for part in (self.inputs, self.cross, *self.stacks, self.head):
            part.compile()

    def forward(self, ids, targets, kernel):
        z, q, k, v = self.inputs(ids, self.turn)
        z = self.cross(z, attend_cross(q, k, v, kernel))
        for stack in self.stacks:
            z = stack(z, self.turn)
        return self.head(z, self.inputs.token, targets)


class Trainer:
    """AdamW. Weights in bf16 have float32 masters; under autocast the weights themselves are float32."""

    def __init__(self, model, args):
        self.weights = list(model.parameters())
        self.masters = [w.detach().float().clone() for w in self.weights] if args.precision == "bf16" else None
        if self.masters:
            turn = model.turn # the rotary angles stay exact
            model.bfloat16()
            model.turn = turn
            for master in self.masters:
                master.grad = torch.empty_like(master)
        self.adamw = torch.optim.AdamW(self.masters or self.weights, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.01,
                                       fused=True)

    @torch.no_grad()
    def update(self):
        if self.masters:
            torch._foreach_copy_([m.grad for m in self.masters], [w.grad for w in self.weights])
        torch.nn.utils.clip_grad_norm_(self.masters or self.weights, 1.0)
        self.adamw.step()
        if self.masters:
            torch._foreach_copy_(self.weights, self.masters)
        for w in self.weights:
            w.grad = None


# ---------------------------------------------------------------- timing

def clock_start(device):
    if device.type == "cpu":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def milliseconds(fn, device, warmup, repeats):
    """The median of the times that the calls take one after another, without a wait between them."""
    for _ in range(warmup):
        fn()
    marks = [clock_start(device)]
    for _ in range(repeats):
        fn()
        marks.append(clock_start(device))
    if device.type == "cpu":
        return statistics.median(1e3 * (b - a) for a, b in zip(marks, marks[1:]))
    torch.cuda.synchronize()
    return statistics.median(a.elapsed_time(b) for a, b in zip(marks, marks[1:]))


def attempt(label, fn):
    """fn(); after a line that says what went wrong, False for want of memory and None else: one failure must not cost
    the other measurements."""
    result = None
    try:
        return fn()
    except torch.cuda.OutOfMemoryError:
        said, result = "out of memory", False
    except Exception as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    print(f"{label}: {said}", flush=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return result


def heads_of(B, H, rows, D, device, dtype):
    """[B, H, rows, D] as the projections leave it."""
    x = torch.randn(B, rows, H * D, device=device, dtype=dtype)
    return split_heads(x, H).requires_grad_()


def time_attention(fn, kernel, B, N, M, H, D, args):
    """Forward and backward pass in milliseconds, and the output."""
    device, dtype = args.device, torch.bfloat16 if args.device.type == "cuda" else torch.float32
    torch.manual_seed(1)
    q, k, v = (heads_of(B, H, rows, D, device, dtype) for rows in (N, M, M))
    o = fn(q, k, v, kernel)
    do = torch.randn_like(o)
    with torch.no_grad():
        forward = milliseconds(lambda: fn(q, k, v, kernel), device, 2, args.steps)
    backward = milliseconds(lambda: torch.autograd.grad(o, (q, k, v), do, retain_graph=True), device, 2, args.steps)
    return forward, backward, o.detach()


def bench_attention(args):
    H, D = 16, 64
    cases = [("bottom-right causal", attend_cross, 1, 1024, 131072, 1), ("no mask", attend_open, 1, 1024, 131072, 1),
             ("bottom-right causal", attend_cross, 16, 1024, 12288, 1), ("causal", attend_self, 32, 1024, 1024, 2)]
    if args.tiny:
        H, cases = 2, [(n, f, min(B, 2), N // 32, M // 256 if M > N else N // 32, h) for n, f, B, N, M, h in cases]
    for name, fn, B, N, M, share in cases:
        first = None
        for kernel in ("flash", "cudnn", "efficient") if args.device.type == "cuda" else ("math", "cudnn"):
            label = f"attention, {name}, B {B}, N {N}, M {M}, H {H}, D {D}, {kernel}"
            got = attempt(label, lambda: time_attention(fn, kernel, B, N, M, H, D, args))
            if not got:
                continue
            work = 4e-9 * B * N * M * H * D / share
            first = got[2] if first is None else first
            error = (got[2] - first).abs().max().item()
            print(f"{label}: forward {got[0]:.3f} ms, {work / got[0]:.1f} TFLOP/s; backward {got[1]:.3f} ms, "
                  f"{2.5 * work / got[1]:.1f} TFLOP/s; differs by {error:.1e}", flush=True)


def bench_ceiling(args):
    n, size = (256, 1 << 20) if args.tiny else (8192, 1 << 31)
    a, b = (torch.randn(n, n, device=args.device, dtype=torch.bfloat16) for _ in range(2))
    c = torch.empty_like(a)
    ms = milliseconds(lambda: torch.mm(a, b, out=c), args.device, 5, 20)
    print(f"bf16 product of {n} x {n} x {n}: {ms:.3f} ms, {2e-9 * n ** 3 / ms:.1f} TFLOP/s", flush=True)
    x = torch.ones(size, device=args.device, dtype=torch.int8)
    y = torch.empty_like(x)
    ms = milliseconds(lambda: y.copy_(x), args.device, 3, 20)
    print(f"copy of {size >> 20} MiB: {ms:.3f} ms, {2e-6 * size / ms:.0f} GB/s, read and written", flush=True)


def choose_kernels(s, batch, args):
    """The faster kernels that work, forward and backward together, for the cross-attention and for the layers."""
    if args.kernel != "auto":
        return args.kernel, args.kernel
    if args.device.type == "cpu":
        return "math", "math"
    best = []
    for name, fn, M in (("cross", attend_cross, s.context), ("self", attend_self, s.latents)):
        times = {}
        for kernel in ("flash", "cudnn"):
            got = attempt(f"{name}-attention by {kernel}", lambda: time_attention(
                fn, kernel, min(batch, 4), s.latents, M, s.heads, s.channels // s.heads, args))
            if got:
                times[kernel] = got[0] + got[1]
        best.append(min(times, key=times.get))
    return best


def train(name, batch, args):
    s = MODELS[name]
    if args.tiny:
        s = replace(s, channels=64, heads=2, layers=4, latents=16, context=96, together=2)
    if args.together:
        s = replace(s, together=args.together)
    if args.dropout is not None:
        s = replace(s, dropout=args.dropout)
    device, on_gpu = args.device, args.device.type == "cuda"
    torch.compiler.reset()
    torch.manual_seed(1)
    cross, layers = choose_kernels(s, batch, args)
    if on_gpu: # chosen here and not in the model: the compiled parts then hold no context
        torch.backends.cuda.enable_math_sdp(False)
        torch.backends.cuda.enable_flash_sdp(layers == "flash")
        torch.backends.cuda.enable_cudnn_sdp(layers == "cudnn")
        torch.backends.cuda.enable_mem_efficient_sdp(layers == "efficient")
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with device:
        model = Perceiver(s, args)
    count = sum(w.numel() for w in model.parameters())
    if count != s.parameters and not args.tiny:
        raise ValueError(f"{count} parameters, expected {s.parameters}")
    trainer = Trainer(model, args)
    if not args.no_compile:
        model.compile_parts()
    tokens = torch.randint(0, s.vocab, (batch, s.context + 1), device=device)
    ids, targets = tokens[:, :-1].contiguous(), tokens[:, -s.latents:].contiguous()

    def step():
        with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "autocast"):
            loss = model(ids, targets, cross)
        loss.backward()
        trainer.update()
        return loss.detach()

    start = time.perf_counter()
    first = step().item()
    compiled = time.perf_counter() - start
    ms = milliseconds(step, device, 3, args.steps)
    peak = torch.cuda.max_memory_allocated() / 2 ** 30 if on_gpu else 0
    how = f"{', recompute' if args.recompute else ''}{', not compiled' if args.no_compile else ''}"
    print(f"model {name}, batch {batch}, {args.precision}, {cross} and {layers} attention{how}: {ms:.2f} ms a step, "
          f"{1e3 * batch * s.context / ms:.0f} tokens/s, {1e3 * batch * s.latents / ms:.0f} targets/s, {peak:.2f} GiB, "
          f"{3e-9 * batch * s.flops() / ms:.1f} TFLOP/s; loss {first:.4f} -> {step().item():.4f}; "
          f"first step {compiled:.1f} s", flush=True)
    return True


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="", help="a, b, c, or several: a,b")
    p.add_argument("--batch", default="1", help="one a model, or several for one model: 4,8")
    p.add_argument("--steps", type=int, default=5, help="timed steps, after three that are not")
    p.add_argument("--precision", choices=("bf16", "autocast"), default="bf16",
                   help="weights in bf16 with float32 masters, or float32 weights under autocast")
    p.add_argument("--kernel", choices=("auto", "flash", "cudnn", "efficient", "math"), default="auto")
    p.add_argument("--embedding", choices=("product", "library"), default="product",
                   help="gradient of the token table: a one-hot product, or that of torch.nn.functional.embedding")
    p.add_argument("--dropout", type=float, help="in place of the published 0.1 (b, c)")
    p.add_argument("--together", type=int, help="layers compiled as one, in place of the model's default")
    p.add_argument("--recompute", action="store_true", help="checkpoint each layer")
    p.add_argument("--no-compile", action="store_true")
    p.add_argument("--ceiling", action="store_true", help="rate of a bf16 product and of a copy")
    p.add_argument("--attention", action="store_true", help="attention alone, by each kernel")
    p.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    p.add_argument("--tiny", action="store_true", help="small sizes, to try the program itself")
    args = p.parse_args()
    torch._dynamo.config.automatic_dynamic_shapes = False # a second batch size is compiled for itself
    torch._dynamo.config.cache_size_limit = 64
    card = torch.cuda.get_device_name() if args.device.type == "cuda" else "CPU"
    print(f"PyTorch {torch.__version__}, {card}", flush=True)
    if args.ceiling:
        attempt("ceiling", lambda: bench_ceiling(args))
    if args.attention:
        bench_attention(args)
    models, batches = args.model.split(",") if args.model else [], [int(b) for b in args.batch.split(",")]
    if len(models) == 1 or len(batches) == 1:
        models, batches = models * len(batches), batches * len(models)
    for name, batch in zip(models, batches):
        label = f"model {name}, batch {batch}"
        if attempt(label, lambda: train(name, batch, args)) is None and args.kernel == "auto":
            flash = argparse.Namespace(**{**vars(args), "kernel": "flash"}) # cuDNN's may fail where it is compiled
            attempt(label, lambda: train(name, batch, flash))


if __name__ == "__main__":
    main()
