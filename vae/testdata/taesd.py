"""Makes taesd.safetensors and taesd_keys.json: the tiny autoencoder of diffusers, for vae/taesd_test.go.

Weights and inputs follow the rule of internal/golden (FNV-1a of the name seeds splitmix64), so that
only results are stored. Everything is computed in float64 from values rounded to float32.
"""
import json
import os

import numpy as np
import torch
from diffusers import AutoencoderTiny
from safetensors.numpy import save_file

M = (1 << 64) - 1
HERE = os.path.dirname(os.path.abspath(__file__))


def uniform(key, shape):
    h = 0xCBF29CE484222325
    for b in key.encode():
        h = (h ^ b) * 0x100000001B3 & M
    out = []
    for _ in range(int(np.prod(shape))):
        h = (h + 0x9E3779B97F4A7C15) & M
        z = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 & M
        z = (z ^ z >> 27) * 0x94D049BB133111EB & M
        z ^= z >> 31
        out.append((z >> 40) / (1 << 23) - 1)
    return np.array(out).reshape(shape)


def tensor(values):
    return torch.from_numpy(values.astype(np.float32)).double()


def main():
    torch.set_num_threads(1)
    full = AutoencoderTiny()
    keys = {
        "count": sum(p.numel() for p in full.parameters()),
        "shapes": {k: list(v.shape) for k, v in full.state_dict().items()},
    }
    with open(os.path.join(HERE, "taesd_keys.json"), "w") as f:
        f.write(json.dumps(keys, separators=(",", ":")) + "\n")

    # Unlike numbers of blocks, so that no level can be taken for another.
    m = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
                        num_encoder_blocks=(1, 2, 1, 3), num_decoder_blocks=(2, 1, 3, 1)).double()
    with torch.no_grad():
        for name, p in m.named_parameters():
            bound = (3 / np.prod(p.shape[1:])) ** 0.5 if p.dim() > 1 else 0.2
            p.copy_(tensor(bound * uniform(name, tuple(p.shape))))

    n, h, w = 2, 24, 32
    x = tensor(uniform("taesd.x", (n, 3, h, w))).requires_grad_()
    z = tensor(4 * uniform("taesd.z", (n, 4, h // 8, w // 8))).requires_grad_()
    latents = m.encode(x).latents
    picture = m.decode(z).sample
    latents.backward(tensor(uniform("taesd.latents.cot", tuple(latents.shape))))
    picture.backward(tensor(uniform("taesd.picture.cot", tuple(picture.shape))))
    out = {"latents": latents, "latents.vjp": x.grad, "picture": picture, "picture.vjp": z.grad}
    out = {k: np.ascontiguousarray(v.detach().numpy().astype(np.float32)) for k, v in out.items()}
    for k, v in out.items():
        print(k, v.shape, np.abs(v).max(), v.std())
    save_file(out, os.path.join(HERE, "taesd.safetensors"))


main()
