#!/usr/bin/env python3
"""Restorations of psld beside those of classical tools, on the same damaged files.

    python3 bench/peers/quality.py --pictures DIR [DIR...] --psld ./psld --out runs/quality

Every picture is cut to its centre of at most 256 pixels a side, damaged by `psld degrade`, and restored from that
file by all: what a tool cannot read in an 8-bit PNG, none of them can. Of denoise-camera the file is a JPEG, as of a
telephone at night. The parameters of each classical tool are the
best, by the mean PSNR over these very pictures, of a small grid, which flatters it; psld runs with its defaults.
Results are kept in --out, so that a run that was stopped goes on. PSNR is over all pixels; LPIPS is that of AlexNet
with the weights of --lpips.

Needs numpy, scipy, pillow, scikit-image, opencv-python-headless, bm3d.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

TASKS = {  # name: arguments of degrade, arguments of restore, noise on [0,1]
    "denoise-15": (["--task", "denoise", "--sigma", str(15 / 127.5)], [], 15 / 255),
    "denoise-25": (["--task", "denoise", "--sigma", str(25 / 127.5)], [], 25 / 255),
    "denoise-50": (["--task", "denoise", "--sigma", str(50 / 127.5)], [], 50 / 255),
    "denoise-camera": ([], [], 0.1),  # see camera()
    "inpaint-random": (["--task", "inpaint-random", "--sigma", "0.05"], ["--paste=false"], 0.025),
    "inpaint-box": (["--task", "inpaint-box", "--sigma", "0"], [], 0),
    "sr4": (["--task", "sr4", "--sigma", "0"], [], 0),
    "deblur-gaussian": (["--task", "deblur-gaussian", "--sigma", "0.05"], [], 0.025),
    "deblur-motion": (["--task", "deblur-motion", "--sigma", "0.05"], [], 0.025),
}

TV_WEIGHTS = (0.001, 0.003, 0.01, 0.03)  # of psld's own ADMM-TV, where scikit-image has no such restoration


def load(path, mode="RGB"):
    return np.asarray(Image.open(path).convert(mode), np.float64) / 255


def store(path, x):
    Image.fromarray(np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)).save(path)


def psnr(x, y):
    return float(-10 * np.log10(np.mean((np.clip(x, 0, 1) - y) ** 2)))


class LPIPS:
    """LPIPS v0.1 with AlexNet (Zhang et al. 2018), of safetensors files."""

    def __init__(self, net, heads):
        self.w = {**read_safetensors(net), **read_safetensors(heads)}
        self.heads = [next(v for k, v in self.w.items() if "alex" in k and f"lin{i}" in k) for i in range(5)]

    def features(self, x):
        x = (x * 2 - 1).transpose(2, 0, 1)
        x = (x - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array([0.458, 0.448, 0.450])[:, None, None]
        out = []
        for i, (stride, pad, pool) in zip((0, 3, 6, 8, 10), ((4, 2, 0), (1, 2, 1), (1, 1, 1), (1, 1, 0), (1, 1, 0))):
            if pool:
                v = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2]
                x = v.max((-1, -2))
            w, b = self.w[f"features.{i}.weight"], self.w[f"features.{i}.bias"]
            v = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (pad, pad), (pad, pad))), w.shape[2:], (1, 2))
            v = v[:, ::stride, ::stride]
            h, wd = v.shape[1:3]
            cols = v.transpose(1, 2, 0, 3, 4).reshape(h * wd, -1).astype(np.float32)
            x = np.maximum(cols @ w.reshape(w.shape[0], -1).T + b, 0).T.reshape(-1, h, wd)
            out.append(x / (np.sqrt((x ** 2).sum(0, keepdims=True)) + 1e-10))
        return out

    def __call__(self, x, y):
        pairs = zip(self.features(x), self.features(y), self.heads)
        return float(sum(((a - b) ** 2 * h.reshape(-1, 1, 1)).sum(0).mean() for a, b, h in pairs))


def read_safetensors(path):
    data = Path(path).read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    kinds = {"F32": np.float32, "F16": np.float16, "F64": np.float64}
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            lo, hi = t["data_offsets"]
            a = np.frombuffer(data[8 + n + lo:8 + n + hi], kinds[t["dtype"]])
            out[name] = a.reshape(t["shape"]).astype(np.float32)
    return out


def bm3d(y, sigma):
    import bm3d as lib
    if sigma == 0:
        return y
    if np.ptp(y, axis=-1).max() == 0:  # grey: bm3d_rgb divides by the range of its colours
        return lib.bm3d(y[..., 0], sigma)[..., None].repeat(3, -1)
    return lib.bm3d_rgb(y, sigma)


def uncut(x, sigma):
    """Takes x for the mean of noisy values that were cut off at 0 and 1, and gives the values of that mean."""
    from scipy.stats import norm
    truth = np.linspace(0, 1, 1025)
    low, high = -truth / sigma, (1 - truth) / sigma
    mean = norm.sf(high) + truth * (norm.cdf(high) - norm.cdf(low)) + sigma * (norm.pdf(low) - norm.pdf(high))
    return np.interp(x, mean, truth)


def interpolated(y, hole, kind):
    if kind == "biharmonic":
        from skimage.restoration import inpaint_biharmonic
        return inpaint_biharmonic(y, hole, channel_axis=-1, split_into_regions=False)
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
    known = np.argwhere(~hole)
    places = np.argwhere(hole)
    x = y.copy()
    fill = LinearNDInterpolator(known, y[~hole])(places)
    near = NearestNDInterpolator(known, y[~hole])(places)
    x[hole] = np.where(np.isnan(fill), near, fill)
    return x


def camera(x, seed):
    """Is what a camera makes of x in little light: noise of the light and of reading, in one colour of three a pixel;
    the other two are means of their neighbours. On [0,1], as x."""
    from scipy.ndimage import convolve
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    light += np.random.default_rng(seed).standard_normal(light.shape) * np.sqrt(0.012 * light + 0.0005)
    seen = np.zeros_like(light)  # red, green, green, blue
    seen[0::2, 0::2, 0] = seen[0::2, 1::2, 1] = seen[1::2, 0::2, 1] = seen[1::2, 1::2, 2] = 1
    green = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    other = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    light = [convolve((light * seen)[..., c], green if c == 1 else other, mode="mirror") for c in range(3)]
    light = np.clip(np.stack(light, -1), 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def candidates(task, d, sigma):
    """Yields (tool, parameter, function) for a damaged picture in the folder d."""
    import cv2
    from skimage import restoration
    y = load(d / "y.png")
    if task.startswith("denoise"):
        factors = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8) if task == "denoise-camera" else (0.9, 1.0, 1.15)
        for f in factors:
            x = []  # computed once
            yield "BM3D", f, lambda f=f, x=x: x.append(bm3d(y, f * sigma)) or x[0]
            yield "BM3D, cut-off noise allowed for", f, lambda f=f, x=x: uncut(x[0] if x else bm3d(y, f * sigma), sigma)
        for w in factors if task == "denoise-camera" else (0.6, 0.9, 1.3):
            yield "TV", w, lambda w=w: restoration.denoise_tv_chambolle(y, weight=w * sigma, channel_axis=-1)
    if task == "denoise-camera":
        bytes_ = np.round(y * 255).astype(np.uint8)
        for h in (5, 10, 15, 20, 30):
            yield "NLM", h, lambda h=h: cv2.fastNlMeansDenoisingColored(bytes_, None, h, h) / 255
    if task.startswith("inpaint"):
        hole = load(d / "m.png", "L") > 0.5
        for kind in ("linear", "biharmonic"):
            if task == "inpaint-box" and kind == "linear":
                continue
            x = interpolated(y, hole, kind)
            yield kind, 0, lambda x=x: x
            if sigma > 0:
                for f in (0.8, 1.2, 1.7):
                    yield kind + " + BM3D", f, lambda x=x, f=f: bm3d(np.clip(x, 0, 1), f * sigma)
        bytes_ = np.round(y * 255).astype(np.uint8)
        for r in (3, 7):
            yield "TELEA", r, lambda r=r: cv2.inpaint(bytes_, hole.astype(np.uint8), r, cv2.INPAINT_TELEA) / 255
    if task == "sr4":
        size = (y.shape[1] * 4, y.shape[0] * 4)
        image = Image.fromarray(np.round(y * 255).astype(np.uint8))
        yield "Lanczos", 0, lambda: np.asarray(image.resize(size, Image.LANCZOS), np.float64) / 255
        yield "bicubic", 0, lambda: np.asarray(image.resize(size, Image.BICUBIC), np.float64) / 255
    if task.startswith("deblur"):
        k = np.asarray(Image.open(d / "k.png"), np.float64)  # 16 bits
        k /= k.sum()
        p = k.shape[0]
        pad = np.pad(y, ((p, p), (p, p), (0, 0)), "reflect")

        def each(f):
            return np.stack([f(pad[..., c])[p:-p, p:-p] for c in range(3)], -1)
        for b in (0.003, 0.01, 0.03, 0.1, 0.3):
            yield "Wiener", b, lambda b=b: each(lambda v: restoration.wiener(v, k, b, clip=False))
        for n in (5, 10, 20, 40):
            yield "Richardson-Lucy", n, lambda n=n: each(lambda v: restoration.richardson_lucy(v, k, num_iter=n))


def prepare(args, task, path, d):
    """Cuts and damages a picture."""
    if (d / "y.png").exists():
        return
    d.mkdir(parents=True, exist_ok=True)
    im = Image.open(path).convert("RGB")
    w, h = (min(256, s) // 8 * 8 for s in im.size)
    left, top = (im.size[0] - w) // 2, (im.size[1] - h) // 2
    im.crop((left, top, left + w, top + h)).save(d / "x.png")
    if task == "denoise-camera":
        y = np.round(camera(load(d / "x.png"), sum(path.stem.encode())) * 255).astype(np.uint8)
        Image.fromarray(y).save(d / "y.jpg", quality=90, subsampling=2)
        Image.open(d / "y.jpg").save(d / "y.png")
        return
    extra = []
    if task.startswith("inpaint"):
        extra = ["--mask-out", str(d / "m.png")]
    if task.startswith("deblur"):
        extra = ["--kernel-out", str(d / "k.png")]
    run([args.psld, "degrade", "--in", str(d / "x.png"), "--out", str(d / "y.png"), "--seed", "1"] + TASKS[task][0] + extra)


def run(command):
    r = subprocess.run(command, capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{' '.join(command)}: {r.stderr}")


def restore(args, task, d, name, flags):
    out = d / f"psld-{name}.png"
    command = [args.psld, "restore", "--task", task.split("-")[0] if task.startswith("denoise") else task,
               "--in", str(d / ("y.jpg" if (d / "y.jpg").exists() else "y.png")), "--out", str(out), "--seed", "1"] + TASKS[task][1] + flags
    if task.startswith("inpaint"):
        command += ["--mask", str(d / "m.png")]
    if task.startswith("deblur"):
        command += ["--kernel", str(d / "k.png")]
    t0 = time.time()
    run(command)
    return load(out), time.time() - t0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pictures", nargs="+", required=True, help="folders")
    p.add_argument("--n", type=int, default=24, help="pictures of each folder, evenly spread")
    p.add_argument("--psld", default="./psld")
    p.add_argument("--out", required=True)
    p.add_argument("--lpips", default="../shared/lpips/alexnet.safetensors")
    p.add_argument("--lpips-heads", default="../shared/golden/metrics/lpips_lin_v0.1.safetensors")
    p.add_argument("--tasks", default=",".join(TASKS))
    p.add_argument("--methods", default="auto=", help="runs of psld: name=flags, separated by semicolons; '' for none")
    p.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    p.add_argument("--again", action="store_true", help="run psld again where its results are kept")
    args = p.parse_args()
    lpips = LPIPS(args.lpips, args.lpips_heads)
    files = []
    for folder in args.pictures:
        all_ = sorted(f for f in Path(folder).iterdir() if f.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"))
        files += [all_[i * len(all_) // min(args.n, len(all_))] for i in range(min(args.n, len(all_)))]
    root = Path(args.out)
    tables = {}
    for task in args.tasks.split(","):
        scores = {}  # (tool, parameter): list of (psnr, lpips, seconds)
        for path in files:
            d = root / task / path.stem
            prepare(args, task, path, d)
            x = load(d / "x.png")
            kept = d / "scores.json"
            known = json.loads(kept.read_text()) if kept.exists() else {}

            def score(tool, parameter, f):
                key = f"{tool}|{parameter}"
                if key not in known:
                    t0 = time.time()
                    r = f()
                    seconds = time.time() - t0
                    if isinstance(r, tuple):
                        r, seconds = r
                    known[key] = (psnr(r, x), lpips(np.clip(r, 0, 1), x), seconds)
                    temporary = kept.with_suffix(".tmp")
                    temporary.write_text(json.dumps(known))
                    os.replace(temporary, kept)
                scores.setdefault((tool, str(parameter)), []).append(known[key])
            score("measurement", 0, lambda: load(d / "y.png") if task != "sr4" else load(d / "y.png").repeat(4, 0).repeat(4, 1))
            if args.peers:
                for tool, parameter, f in candidates(task, d, TASKS[task][2]):
                    score(tool, parameter, f)
                for weight in TV_WEIGHTS if task == "sr4" or task.startswith("deblur") else ():
                    flags = ["--method", "tv", "--lambda", str(weight)]
                    score("TV", weight, lambda: restore(args, task, d, "tv", flags))
            for item in filter(None, args.methods.split(";")):
                name, flags = item.split("=", 1)
                if args.again:
                    known.pop(f"psld {name}|0", None)
                score(f"psld {name}", 0, lambda: restore(args, task, d, name, flags.split()))
            print(task, path.stem, file=sys.stderr)
        best = {}
        for (tool, parameter), rows in scores.items():
            mean = np.mean(rows, 0)
            if tool not in best or mean[0] > best[tool][1][0]:
                best[tool] = (parameter, mean)
        tables[task] = {tool: {"parameter": p_, "psnr": m[0], "lpips": m[1], "seconds": m[2]} for tool, (p_, m) in best.items()}
        print(f"\n{task}, {len(files)} pictures\n\n| tool | PSNR | LPIPS | s |\n| --- | ---: | ---: | ---: |")
        for tool, row in tables[task].items():
            print(f"| {tool} ({row['parameter']}) | {row['psnr']:.2f} | {row['lpips']:.3f} | {row['seconds']:.1f} |")
        sys.stdout.flush()
    (root / "tables.json").write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
