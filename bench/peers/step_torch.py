"""Times one PSLD step of Stable Diffusion 1.5 in PyTorch, with diffusers' networks and random weights, as
`psld bench step --random --json` does in psld. It prints a line of JSON with the same names of fields.

    python3 bench/peers/step_torch.py [--size 512] [--dtype f32|tf32|bf16|f16] [--steps 1] [--threads 2] [--checkpoint]
        [--device cpu|cuda] [--compile]

bf16 and f16 are autocast: float32 weights, matrix products and convolutions in 16 bits. f32 on a GPU is without TF32.
--checkpoint recomputes activations, for machines without the memory that PyTorch takes otherwise (20 GiB in f32 at
512x512). --compile compiles the networks by torch.compile, in the steps that do not count. It needs torch and diffusers.
"""

import argparse
import contextlib
import json
import resource
import statistics
import time

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=512)
parser.add_argument("--dtype", choices=["f32", "tf32", "bf16", "f16"], default="f32")
parser.add_argument("--steps", type=int, default=1)
parser.add_argument("--threads", type=int, default=torch.get_num_threads())
parser.add_argument("--checkpoint", action="store_true")
parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
parser.add_argument("--compile", action="store_true")
options = parser.parse_args()
on_gpu = options.device == "cuda"
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.dtype == "tf32"
torch.set_default_device(options.device)

torch.manual_seed(0)
torch.set_num_threads(options.threads)
unet = UNet2DConditionModel(
    sample_size=64, in_channels=4, out_channels=4, cross_attention_dim=768, attention_head_dim=8,
    block_out_channels=(320, 640, 1280, 1280), layers_per_block=2)
vae = AutoencoderKL(
    in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
    down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, norm_num_groups=32)
for network in unet, vae:
    network.requires_grad_(False).to(memory_format=torch.channels_last)
    if options.checkpoint:
        network.train()  # diffusers checkpoints in this mode only; there is no dropout
        network.enable_gradient_checkpointing()
decode, encode = vae.decode, vae.encode
if options.compile:
    unet, decode, encode = torch.compile(unet), torch.compile(vae.decode), torch.compile(vae.encode)
scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False)
scheduler.set_timesteps(1000)
prompt = torch.randn(1, 77, 768)
n = options.size
mask = torch.ones(1, 1, n, n)
mask[..., n // 4 : 3 * n // 4, n // 4 : 3 * n // 4] = 0
y = mask * (2 * torch.rand(1, 3, n, n) - 1)
halves = {"bf16": torch.bfloat16, "f16": torch.float16}.get(options.dtype)
autocast = torch.autocast(options.device, halves) if halves else contextlib.nullcontext()


def clock():
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter()


class Watch:
    """Seconds since the last call; a hook on a gradient tells when the backward pass goes from a network to the next."""

    def __init__(self):
        self.last, self.sums = clock(), {}

    def lap(self, name=None):
        now = clock()
        if name:
            self.sums[name] = self.sums.get(name, 0) + now - self.last
        self.last = now


def step(z, t):
    watch = Watch()
    z = z.detach().requires_grad_()
    with autocast:
        a = scheduler.alphas_cumprod[t]
        e = unet(z, t, encoder_hidden_states=prompt).sample
        watch.lap("unet_s")
        z0 = (z - (1 - a).sqrt() * e) / a.sqrt()
        z0.register_hook(lambda _: watch.lap("decoder_s"))
        x = decode(z0 / 0.18215).sample
        watch.lap("decoder_s")
        ax = mask * x
        measurement = torch.linalg.norm((ax - y).float())
        glued = y + x - ax
        glued.register_hook(lambda _: watch.lap("encoder_s"))
        again = encode(glued).latent_dist.mean * 0.18215
        watch.lap("encoder_s")
        loss = measurement + 0.1 * torch.linalg.norm((again - z0).float())
    loss.backward()
    watch.lap("unet_s")
    with torch.no_grad():
        z = scheduler.step(e.float(), t, z).prev_sample - z.grad
    return z.detach(), watch.sums


z = torch.randn(1, 4, n // 8, n // 8)
seconds, parts = [], []
warm = 3 if on_gpu else 1  # steps that do not count: kernels are chosen and compiled in them
scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(options.device)
for i, t in enumerate(scheduler.timesteps[: options.steps + warm]):
    if i == warm and on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start = clock()
    z, sums = step(z, t)
    if i >= warm:
        seconds.append(clock() - start)
        parts.append(sums)
peak_device = torch.cuda.max_memory_allocated() if on_gpu else 0
with torch.no_grad(), autocast:
    alone = []
    for _ in range(10 if on_gpu else 2):
        start = clock()
        unet(z, 500, encoder_hidden_states=prompt)
        alone.append(clock() - start)
result = {"seconds": statistics.median(seconds)}
for name in "unet_s", "decoder_s", "encoder_s":
    result[name] = statistics.median(p[name] for p in parts)
result |= {
    "unet_alone_s": min(alone),
    "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "peak_device_bytes": peak_device,
    "device": torch.cuda.get_device_name() if on_gpu else "cpu",
    "compile": options.compile,
    "dtype": options.dtype,
    "threads": options.threads,
    "size": n,
    "steps": options.steps,
    "checkpoint": options.checkpoint,
    "torch": torch.__version__,
}
print(json.dumps(result))
