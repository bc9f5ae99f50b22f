"""Sets the rows of bench/gpu/run.sh beside each other and beside the bars of this project, as Markdown.

    python3 bench/gpu/summary.py gpu-results/rows.json
"""

import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1])]
steps = {r["who"]: r for r in rows if "unet_s" in r}
kernels = {}
for r in rows:
    if r.get("op", "ceiling") != "ceiling":
        kernels.setdefault(r["op"] + " " + r["shape"], {})[r["who"].removeprefix("kernels-")] = r

print("| a step of PSLD | ms | UNet | decoder | encoder | text to image, steps/s | peak GiB on the GPU |")
print("|---|---:|---:|---:|---:|---:|---:|")
for who, r in steps.items():
    ms = " | ".join(f"{1e3 * r[k]:.1f}" for k in ("seconds", "unet_s", "decoder_s", "encoder_s"))
    print(f"| {who} | {ms} | {1 / r['unet_alone_s']:.1f} | {r.get('peak_device_bytes', 0) / 2**30:.2f} |")

if kernels:
    names = list(dict.fromkeys(who for of in kernels.values() for who in of))
    print("\n| fraction of the measured ceiling | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))
    for name, of in kernels.items():
        print(f"| {name} | " + " | ".join(f"{of[w]['fraction']:.2f}" if w in of else "" for w in names) + " |")

print("\n| bar | wanted | is |\n|---|---|---|")


def bar(text, wanted, value, at_most=False):
    """Prints a row; value is None where something was not measured."""
    if value is None:
        verdict = "not measured"
    else:
        met = value <= wanted if at_most else value >= wanted
        verdict = f"{value:.2f}: {'met' if met else 'missed'}"
    print(f"| {text} | {'at most' if at_most else 'at least'} {wanted} | {verdict} |")


def ratio(a, b, key):
    """a's number over b's, None where one is not there."""
    if a in steps and b in steps and steps[b].get(key):
        return steps[a][key] / steps[b][key]
    return None


def inverse(v):
    return 1 / v if v else None


bar("speed of a step, bf16, against PyTorch eager with autocast", 1,
    inverse(ratio("psld-bf16", "PyTorch-bf16", "seconds")))
bar("the same against torch.compile", 0.8, inverse(ratio("psld-bf16", "PyTorch-compiled-bf16", "seconds")))
bar("peak of memory, bf16, against PyTorch eager", 0.7, ratio("psld-bf16", "PyTorch-bf16", "peak_device_bytes"), True)
pairs = [of["vulkan-f16"]["gflops"] / of["f16"]["gflops"] for of in kernels.values()
         if "vulkan-f16" in of and "f16" in of and of["f16"].get("gflops")]
bar("products by Vulkan against CUDA, f16, the worst shape", 0.35, min(pairs) if pairs else None)
