"""Compares `psld bench kernels` with OpenBLAS, PyTorch and oneDNN on the same shapes, in alternation, and prints Markdown.

    compare.py --psld PATH [--openblas PATH] [--torch PYTHON] [--threads N] [--visits N] [--filter RE]

Each visit times one shape with one program after the other; a figure is the median of the visits.
run.sh builds and finds the programs. Needs Python 3 and nothing else.
"""

import argparse
import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys

LINEAR = ["4096x320x320", "4096x320x1280", "4096x320x2560", "4096x1280x320", "1024x640x640", "1024x640x5120", "1024x2560x640",
          "256x1280x1280", "256x1280x10240", "256x5120x1280", "64x1280x1280", "77x768x320", "77x768x640", "77x768x1280"]
CONV = ["64x64x320_320_k3", "32x32x640_640_k3", "16x16x1280_1280_k3", "16x16x2560_1280_k3", "8x8x1280_1280_k3", "64x64x320_320_k3_s2",
        "32x32x640_640_k3_up", "64x64x960_320_k1", "16x16x2560_1280_k1",
        "64x64x512_512_k3", "128x128x512_512_k3", "256x256x256_256_k3", "512x512x128_128_k3"]
ATTENTION = ["8x4096x4096x40", "8x1024x1024x80", "8x256x256x160", "8x64x64x160", "8x4096x77x40", "8x1024x77x80", "1x4096x4096x512"]
SHAPES = [("Linear", s) for s in LINEAR] + [("Conv2d", s) for s in CONV] + [("Attention", s) for s in ATTENTION]
SECONDS = 0.15  # least time of one program for one row in a visit
WHAT = {"Linear": "matrix product", "Conv2d": "convolution", "Attention": "attention"}
DIRECTION = {"": "forward", "GradInput": "to the input", "GradWeight": "to the weights", "Grad": "backward"}


class Peer:
    """A program that answers each line with a line; its first line says what it is."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.line()

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended with exit code {self.process.wait()}")
        return line.strip()

    def ask(self, question):
        print(question, file=self.process.stdin, flush=True)
        return self.line()


def split(op):
    return re.fullmatch(r"(Linear|Conv2d|Attention)(.*)", op).groups()


def ours(args, kind, shape):
    pattern = f"^{kind}(Grad.*)?/{shape}/"
    command = [args.psld, "bench", "kernels", "--json", "--threads", str(args.threads), "--seconds", str(SECONDS), "--filter", pattern]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
    return [row for row in map(json.loads, lines) if row["op"] != "ceiling"]


def processor():
    try:
        with open("/proc/cpuinfo") as f:
            return re.search(r"model name\s*: (.*)", f.read())[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def geometric(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--psld", required=True)
    parser.add_argument("--openblas")
    parser.add_argument("--torch")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--visits", type=int, default=3)
    parser.add_argument("--filter", default="", help="regular expression on op/shape")
    args = parser.parse_args()
    shapes = [(k, s) for k, s in SHAPES if re.search(args.filter, f"{k}/{s}")]
    if not shapes:
        sys.exit("no such shape")
    folder = os.path.dirname(os.path.abspath(__file__))
    blas = Peer(args.openblas) if args.openblas else None
    torch = Peer(args.torch, os.path.join(folder, "torch_peer.py")) if args.torch else None

    rates = {}  # (op, shape, dtype) -> program -> GFLOP/s of each visit
    fractions, tier = {}, ""
    for visit in range(args.visits):
        for n, (kind, shape) in enumerate(shapes):
            print(f"visit {visit + 1} of {args.visits}, {kind} {shape} ({n + 1} of {len(shapes)})", file=sys.stderr)
            for row in ours(args, kind, shape):
                key, tier = (row["op"], shape, row["dtype"]), row["tier"]
                fractions.setdefault(key, []).append(row["fraction"])
                seen = {"psld": row["gflops"]}
                if blas and kind == "Linear" and row["dtype"] == "f32":
                    seen["OpenBLAS"] = float(blas.ask(f"{row['op']} {shape.replace('x', ' ')} {SECONDS} {args.threads}"))
                if torch:
                    question = {"op": row["op"], "shape": shape, "dtype": row["dtype"], "seconds": SECONDS, "threads": args.threads}
                    flop = work(row["op"], shape)
                    for name, seconds in json.loads(torch.ask(json.dumps(question))).items():
                        seen[{"pytorch": "PyTorch", "onednn": "oneDNN"}[name]] = flop / seconds / 1e9
                for name, rate in seen.items():
                    rates.setdefault(key, {}).setdefault(name, []).append(rate)

    about = [f"{args.threads} threads", f"median of {args.visits} visits", f"psld kernels {tier}"]
    if torch:
        versions = json.loads(torch.about)
        about += [f"PyTorch {versions['torch']} with oneDNN {versions['onednn']}"]
    if blas:
        about += [blas.about]
    print(f"{datetime.date.today()}, {processor()}, {', '.join(about)}. GFLOP/s; the ratio is to the best of the others.\n")
    for dtype in "f32", "bf16":
        report(dtype, {k: {p: statistics.median(v) for p, v in r.items()} for k, r in rates.items() if k[2] == dtype}, fractions)


def report(dtype, rates, fractions):
    programs = [p for p in ("psld", "PyTorch", "oneDNN", "OpenBLAS") if any(p in r for r in rates.values())]
    if len(programs) < 2:
        return
    print(f"### {dtype}\n")
    print("| | shape | " + " | ".join(programs) + " | of ceiling | ratio |")
    print("|---|---|" + "---:|" * (len(programs) + 2))
    groups = {}
    for (op, shape, _), r in sorted(rates.items(), key=lambda item: (SHAPES.index((split(item[0][0])[0], item[0][1])), item[0])):
        ratio = r["psld"] / max(v for p, v in r.items() if p != "psld")
        kind, direction = split(op)
        name = f"{WHAT[kind]}, {DIRECTION[direction]}"
        group = groups.setdefault(name, {"ratio": []})
        group["ratio"].append(ratio)
        for p in programs[1:]:
            if p in r:
                group.setdefault(p, []).append(r["psld"] / r[p])
        cells = [f"{r[p]:.0f}" if p in r else "" for p in programs]
        print(f"| {name} | {shape} | " + " | ".join(cells) + f" | {statistics.median(fractions[op, shape, dtype]):.2f} | {ratio:.2f} |")
    print(f"\nGeometric means of psld / other, {dtype}:\n")
    print("| | shapes | " + " | ".join(programs[1:]) + " | best of them |")
    print("|---|" + "---:|" * (len(programs) + 1))
    for name, group in groups.items():
        cells = [f"{geometric(group[p]):.2f}" if p in group else "" for p in programs[1:]]
        print(f"| {name} | {len(group['ratio'])} | " + " | ".join(cells) + f" | {geometric(group['ratio']):.2f} |")
    print()


def work(op, shape):
    """The operations of a call, counted as psld counts them."""
    kind, direction = split(op)
    numbers = list(map(int, re.findall(r"\d+", shape)))
    if kind == "Linear":
        return 2 * math.prod(numbers)
    if kind == "Attention":
        return (10 if direction else 4) * math.prod(numbers)
    height, width, n_in, n_out, k = numbers[:5]
    pixels = height * width
    if "_up" in shape:
        pixels *= 4
    if "_s2" in shape:
        pixels //= 4
    return 2 * pixels * n_in * n_out * k * k


main()
