"""Writes torch.json: torch.randn and torch.rand of torch's CPU generator.

Lists are base64 of little-endian float32. "randn" holds calls of one
generator in a row; of a call with more than 100 numbers, every 257th is kept.

Usage: python reference.py > torch.json
"""
import base64, json, sys
import numpy as np
import torch

torch.set_num_threads(1)


def f32(x):
    return base64.b64encode(np.ascontiguousarray(x.numpy(), dtype="<f4").tobytes()).decode()


def thin(x):
    return x if len(x) <= 100 else x[::257]


cases = []
for seed in (0, 1, 42, 2**32 - 1, 2**32 + 42, 123456789012345, 2**63, 2**64 - 1):
    rows = [[n] for n in ((1, 5, 15, 16, 17, 100, 16384) if seed in (0, 42) else (15, 31))]
    rows += [[5, 16, 3, 17, 1, 1, 100, 2, 16384, 7]]
    for sizes in rows:
        g = torch.Generator().manual_seed(seed)
        cases.append({"seed": seed, "sizes": sizes, "randn": [f32(thin(torch.randn(n, generator=g))) for n in sizes]})
uniform = [{"seed": s, "rand": f32(torch.rand(700, generator=torch.Generator().manual_seed(s)))} for s in (0, 2**32 - 1)]
json.dump({"made_with": f"torch {torch.__version__.split('+')[0]}", "cases": cases, "uniform": uniform}, sys.stdout, indent=0)
