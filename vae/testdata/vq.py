"""Makes vq.safetensors and vq_keys.json: reference numbers for the VQ autoencoder of latent diffusion.

Needs Python 3 with torch 2.15.0, diffusers 0.42.1, safetensors; run it in this folder. float32 on the CPU, one thread.
Weights and inputs are not stored: rule() makes them from their names, as internal/golden does.
"""
import json
import math

import numpy as np
import torch
from diffusers import VQModel
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


def make(blocks, **kw):
    n = len(blocks)
    return VQModel(block_out_channels=blocks, down_block_types=("DownEncoderBlock2D",) * n, up_block_types=("UpDecoderBlock2D",) * n,
                   layers_per_block=2, latent_channels=3, vq_embed_dim=3, scaling_factor=1.0, **kw)


def run(model, dtype):
    model = model.to(dtype)
    x = fill("in.x", 2, 3, 16, 24).to(dtype).requires_grad_()
    z = fill("in.z", 2, 3, 4, 6).to(dtype).requires_grad_()
    latents, picture = model.encode(x).latents, model.decode(z).sample
    latents.backward(fill("in.cot.latents", *latents.shape).to(dtype))
    picture.backward(fill("in.cot.picture", *picture.shape).to(dtype))
    code, _, (_, _, index) = model.quantize(z)
    out = {"latents": latents, "latents.vjp": x.grad, "picture": picture, "picture.vjp": z.grad, "quantized": code}
    # The nearest row is the same in every way to compute it only where it is nearest by a margin.
    d = ((z.detach().permute(0, 2, 3, 1).reshape(-1, 1, 3) - model.quantize.embedding.weight) ** 2).sum(-1)
    best = d.topk(2, largest=False)
    assert torch.equal(best.indices[:, 0], index), "nearest rows"
    print("rows used:", len(index.unique()), "of", len(index), "pixels; least margin %.1e" % (best.values[:, 1] - best.values[:, 0]).min())
    assert (best.values[:, 1] - best.values[:, 0]).min() > 1e-4
    return {k: v.detach().contiguous() for k, v in out.items()}


def rel(a, b):
    return float((a.double() - b.double()).norm() / b.double().norm())


model = make((16, 24, 32), norm_num_groups=8, num_vq_embeddings=64).eval().requires_grad_(False)
model.load_state_dict({k: rule(k, tuple(v.shape)) for k, v in model.state_dict().items()})
out = run(model, torch.float32)
for name, v in run(model, torch.float64).items():
    print(name, tuple(v.shape), "std %.3f" % v.std(), "float32 against float64: rel_l2 %.1e" % rel(out[name], v))
save_file(out, "vq.safetensors")

with torch.device("meta"):
    full = make((128, 256, 512), num_vq_embeddings=8192)
keys = [[k, list(v.shape)] for k, v in full.state_dict().items()]
print("parameters of the full size:", sum(math.prod(s) for _, s in keys))
for name, call in (("encode 256x256", lambda: full.encode(torch.zeros(1, 3, 256, 256, device="meta"))),
                   ("decode 64x64, without the search for codes", lambda: full.decode(torch.zeros(1, 3, 64, 64, device="meta"), force_not_quantize=True))):
    with FlopCounterMode(display=False) as count:
        call()
    print("multiply-adds,", name + ":", count.get_total_flops() // 2)
with open("vq_keys.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(k, separators=(",", ":")) for k in keys) + "\n]\n")
