#!/usr/bin/env python3
"""Training steps of the pixel prior's network in PyTorch, as `psld bench train` times them in psld.

The network is that of train.SmallPixel: guided diffusion's UNet (64, 64, 128, 128 channels, one residual block a
resolution, two on the way up, residual blocks that change the size, scale-shift norms, no attention). Products are
bfloat16 under autocast with float32 weights, memory is channels last, the optimizer AdamW with an average of the weights.
"""
import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import nn


class Res(nn.Module):
    def __init__(self, cin, cout, emb, groups, size="keep"):
        super().__init__()
        self.size = size
        self.norm1, self.conv1 = nn.GroupNorm(groups, cin), nn.Conv2d(cin, cout, 3, padding=1)
        self.emb = nn.Linear(emb, 2 * cout)
        self.norm2, self.conv2 = nn.GroupNorm(groups, cout), nn.Conv2d(cout, cout, 3, padding=1)
        self.skip = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()

    def resize(self, x):
        if self.size == "halve":
            return F.avg_pool2d(x, 2)
        if self.size == "double":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return x

    def forward(self, x, e):
        h = self.conv1(self.resize(F.silu(self.norm1(x))))
        scale, shift = self.emb(F.silu(e))[:, :, None, None].chunk(2, 1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(self.resize(x)) + h


class UNet(nn.Module):
    def __init__(self, ch=64, mult=(1, 1, 2, 2), groups=8):
        super().__init__()
        emb = 4 * ch
        self.ch = ch
        self.time = nn.Sequential(nn.Linear(ch, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        c, skips, self.down, self.up = ch, [ch], nn.ModuleList(), nn.ModuleList()
        for i, m in enumerate(mult):
            self.down.append(Res(c, m * ch, emb, groups))
            c = m * ch
            skips.append(c)
            if i < len(mult) - 1:
                self.down.append(Res(c, c, emb, groups, "halve"))
                skips.append(c)
        self.mid = nn.ModuleList([Res(c, c, emb, groups), Res(c, c, emb, groups)])
        for i, m in reversed(list(enumerate(mult))):
            for j in range(2):
                block = nn.ModuleList([Res(c + skips.pop(), m * ch, emb, groups)])
                c = m * ch
                if i > 0 and j == 1:
                    block.append(Res(c, c, emb, groups, "double"))
                self.up.append(block)
        self.norm, self.conv_out = nn.GroupNorm(groups, c), nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, x, t):
        half = self.ch // 2
        f = t[:, None] * torch.exp(-torch.arange(half) * (9.210340371976184 / half))
        e = self.time(torch.cat([f.cos(), f.sin()], 1))
        h = self.conv_in(x)
        skips = [h]
        for b in self.down:
            h = b(h, e)
            skips.append(h)
        for b in self.mid:
            h = b(h, e)
        for block in self.up:
            h = torch.cat([h, skips.pop()], 1)
            for b in block:
                h = b(h, e)
        return self.conv_out(F.silu(self.norm(h)))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--size", type=int, default=64)
    p.add_argument("--steps", type=int, default=6)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    p.add_argument("--compile", action="store_true")
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    net = UNet().to(memory_format=torch.channels_last)
    count = sum(q.numel() for q in net.parameters())
    opt = torch.optim.AdamW(net.parameters(), 1e-4)
    mean = [q.detach().clone() for q in net.parameters()]
    step_net = torch.compile(net) if a.compile else net
    for s in range(a.steps + 2):
        if s == 2:
            start = time.time()
        x = torch.rand(a.batch, 3, a.size, a.size).to(memory_format=torch.channels_last) * 2 - 1
        eps, sigma = torch.randn_like(x), torch.exp(torch.rand(a.batch) * 5 - 4)[:, None, None, None]
        z = (x + sigma * eps) / (1 + sigma ** 2).sqrt()
        with torch.autocast("cpu", torch.bfloat16, enabled=a.dtype == "bf16"):
            e = step_net(z, torch.rand(a.batch) * 1000)
        loss = ((e.float() - eps) ** 2).mean()
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1)
        opt.step()
        with torch.no_grad():
            torch._foreach_lerp_(mean, list(net.parameters()), 1e-3)
    took = time.time() - start
    print(json.dumps({"torch": torch.__version__, "dtype": a.dtype, "compile": a.compile, "threads": torch.get_num_threads(),
                      "parameters": count, "pictures_per_s": a.steps * a.batch / took}))


if __name__ == "__main__":
    main()
