"""Makes ldm.safetensors and ldm_keys.json: reference numbers for the unconditional UNet of latent diffusion.

Needs Python 3 with torch 2.15.0, diffusers 0.42.1, safetensors; run it in this folder. float32 on the CPU, one thread.
Weights and inputs are not stored: rule() makes them from their names, as internal/golden does.
"""
import json
import math

import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

torch.set_num_threads(1)


def uniform(key, n):
    """n values in [-1, 1): splitmix64 in counter form, seeded by the FNV-1a hash of key."""
    h = 0xCBF29CE484222325
    for b in key.encode():
        h = (h ^ b) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, n + 1, dtype=np.uint64)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def rule(name, shape):
    """The weight of this name and shape: uniform with deviation 1/sqrt(fan-in); biases 0.2, norms 1 +- 0.3."""
    off, b = 0.0, 0.2
    if len(shape) >= 2:
        b = math.sqrt(3 / math.prod(shape[1:]))
    elif name.endswith("weight"):
        off, b = 1.0, 0.3
    u = uniform(name, math.prod(shape))
    return torch.from_numpy((off + b * u).astype(np.float32)).reshape(shape)


def fill(key, *shape):
    return torch.from_numpy(uniform(key, math.prod(shape)).astype(np.float32)).reshape(shape)


def attention_ldm(x, norm, qkv, qkv_bias, proj, proj_bias, groups, width):
    """The attention block of the LDM repository: one fused qkv whose rows are [head][q, k, v][width] (heads are
    split before q, k and v), group norm with eps 1e-5, a residual around it."""
    n, c, h, w = x.shape
    heads = c // width
    y = torch.nn.functional.group_norm(x, groups, *norm, eps=1e-5).reshape(n, c, h * w)
    y = torch.einsum("oc,ncl->nol", qkv, y) + qkv_bias[:, None]
    q, k, v = y.reshape(n * heads, 3, width, h * w).unbind(1)
    scale = width**-0.25
    a = torch.softmax(torch.einsum("bct,bcs->bts", q * scale, k * scale), dim=-1)
    y = torch.einsum("bts,bcs->bct", a, v).reshape(n, c, h * w)
    y = torch.einsum("oc,ncl->nol", proj, y) + proj_bias[:, None]
    return x + y.reshape(x.shape)


def fuse(q, k, v, width):
    """to_q, to_k, to_v of one block to the rows of LDM's qkv."""
    return torch.stack([t.reshape(-1, width, *t.shape[1:]) for t in (q, k, v)], dim=1).flatten(0, 2)


def as_ldm(model, groups, width):
    """Puts LDM's block in the place of every attention of the model."""
    for module in model.modules():
        for name, child in list(module.named_children()):
            if type(child).__name__ != "Attention":
                continue
            norm = (child.group_norm.weight, child.group_norm.bias)
            args = (fuse(child.to_q.weight, child.to_k.weight, child.to_v.weight, width),
                    fuse(child.to_q.bias, child.to_k.bias, child.to_v.bias, width),
                    child.to_out[0].weight, child.to_out[0].bias)
            child.forward = lambda x, temb=None, norm=norm, args=args: attention_ldm(x, norm, *args, groups, width)


def make(**kw):
    m = UNet2DModel(downsample_padding=1, flip_sin_to_cos=True, freq_shift=0, norm_eps=1e-5, layers_per_block=2, **kw)
    return m.eval().requires_grad_(False)


GROUPS, WIDTH = 16, 8
SMALL = dict(in_channels=3, out_channels=3, block_out_channels=(32, 64, 96), norm_num_groups=GROUPS, attention_head_dim=WIDTH,
             down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
             up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"))


def run(model, dtype):
    out = {}
    model = model.to(dtype)
    for name, shape, t in (("square", (2, 3, 16, 16), (1, 501)), ("wide", (1, 3, 8, 12), (981,))):
        z = fill("in.z." + name, *shape).to(dtype).requires_grad_()
        # The sinusoids are float32 in both runs: their rounding at large t is part of the definition.
        eps = model(z, torch.tensor(t)).sample
        eps.backward(fill("in.cot." + name, *shape).to(dtype))
        out["eps." + name], out["vjp." + name] = eps.detach(), z.grad
    return out


def rel(a, b):
    return float((a.double() - b.double()).norm() / b.double().norm())


model = make(**SMALL)
model.load_state_dict({k: rule(k, tuple(v.shape)) for k, v in model.state_dict().items()})
out = run(model, torch.float32)
as_ldm(model, GROUPS, WIDTH)
for name, v in run(model, torch.float32).items():
    print(name, "std %.3f" % v.std(), "LDM's attention with fused qkv: rel_l2 %.1e" % rel(v, out[name]))
    assert rel(v, out[name]) < 3e-6
model = make(**SMALL)
model.load_state_dict({k: rule(k, tuple(v.shape)) for k, v in model.state_dict().items()})
for name, v in run(model, torch.float64).items():
    print(name, "float32 against float64: rel_l2 %.1e" % rel(out[name], v))
save_file({k: v.contiguous() for k, v in out.items()}, "ldm.safetensors")

with torch.device("meta"):
    full = UNet2DModel(in_channels=3, out_channels=3, attention_head_dim=32)  # the defaults are LDM's numbers
keys = [[k, list(v.shape)] for k, v in full.state_dict().items()]
print("parameters of the full size:", sum(math.prod(s) for _, s in keys))
with FlopCounterMode(display=False) as count:
    full(torch.zeros(1, 3, 64, 64, device="meta"), torch.tensor([1], device="meta"))
print("multiply-adds at 64x64:", count.get_total_flops() // 2)
with open("ldm_keys.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(k, separators=(",", ":")) for k in keys) + "\n]\n")
