"""Writes diffusers.json: what diffusers' schedulers do on a vector of 8 numbers.

Each scheduler is made as a user of Stable Diffusion 1.5 makes it,
Scheduler.from_config(pipe.scheduler.config), run with a made-up noise
prediction (see eps) and with recorded noises in place of fresh ones.
Lists named *_f32 are base64 of little-endian float32.

Usage: python reference.py > diffusers.json
"""
import base64, json, sys
import numpy as np
import torch
import diffusers
from diffusers import (DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
                       EulerDiscreteScheduler, LCMScheduler, PNDMScheduler)

torch.set_num_threads(1)
SD15 = {"beta_start": .00085, "beta_end": .012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
        "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None, "clip_sample": False}
config = PNDMScheduler.from_config(SD15).config

g = torch.Generator().manual_seed(7)
START = torch.randn(1, 8, generator=g)
CLEAN = torch.randn(1, 8, generator=g) * .7 + .2
NOISES = torch.randn(50, 1, 8, generator=g)


def f32(x):
    return base64.b64encode(np.ascontiguousarray(x, dtype="<f4").tobytes()).decode()


def eps(x, t):
    """The made-up network: x is the scaled input, t the time it is given."""
    x = x.double().numpy()
    return torch.from_numpy(.7 * x + .3 * np.cos(2 * x + float(t) / 200)).float()


def euler_a_karras(n):  # diffusers has none: the ancestral step on the Karras sigmas of its Euler scheduler
    s, k = EulerAncestralDiscreteScheduler.from_config(config), EulerDiscreteScheduler.from_config(config, use_karras_sigmas=True)
    s.set_timesteps(n)
    k.set_timesteps(n)
    s.sigmas, s.timesteps = k.sigmas, k.timesteps
    return s


def maker(cls, **changes):
    def make(n):
        s = cls.from_config(config, **changes)
        s.set_timesteps(n)
        return s
    return make


SAMPLERS = {
    "ddim": (maker(DDIMScheduler), {}), "ddim eta 0.5": (maker(DDIMScheduler), {"eta": .5}), "ddim eta 1": (maker(DDIMScheduler), {"eta": 1.}),
    "ddpm": (maker(DDPMScheduler), {}), "euler": (maker(EulerDiscreteScheduler), {}),
    "euler_karras": (maker(EulerDiscreteScheduler, use_karras_sigmas=True), {}),
    "euler_a": (maker(EulerAncestralDiscreteScheduler), {}), "euler_a_karras": (euler_a_karras, {}),
    "dpm++2m": (maker(DPMSolverMultistepScheduler), {}),
    "dpm++2m_karras": (maker(DPMSolverMultistepScheduler, use_karras_sigmas=True), {}),
    "lcm": (maker(LCMScheduler), {}),
}


def run(make, extra, n, strength):
    s = make(n)
    times, begin = s.timesteps, 0
    if strength is None:
        x = START * s.init_noise_sigma
    else:
        begin = n - min(int(n * strength), n)
        times = times[begin:]
        if hasattr(s, "set_begin_index"):
            s.set_begin_index(begin)
        x = s.add_noise(CLEAN, NOISES[-1], times[:1])
    step = 0
    draws = []

    def recorded(shape, **_):  # in place of a generator's numbers
        draws.append(step)
        return NOISES[step].reshape(shape)
    sys.modules[type(s).__module__].randn_tensor = recorded
    path = [x.numpy().copy()]
    for t in times:
        e = eps(s.scale_model_input(x, t), t)
        x = s.step(e, t, x, return_dict=False, **extra)[0]
        path.append(x.numpy().copy())
        step += 1
    out = {"steps": n, "begin": begin, "times": [float(t) for t in times], "draws": len(draws), "path_f32": f32(path)}
    if strength is not None:
        out["strength"] = strength
    elif hasattr(s, "sigmas"):
        out["sigmas_f32"] = f32(s.sigmas)
    return out


names = {}
for name, (make, extra) in SAMPLERS.items():
    runs = [run(make, extra, n, None) for n in (1, 2, 5, 10, 20, 30, 50)]
    runs += [run(make, extra, n, strength) for n, strength in ((10, .75), (20, .3), (50, .58))]
    for r in runs:
        if r["steps"] == 50:  # only the last: the path is long
            r["path_f32"] = f32(np.frombuffer(base64.b64decode(r["path_f32"]), "<f4").reshape(-1, 8)[-1:])
    sums = []
    for n in () if name == "lcm" else (3, 7, 100, 334, 501, 999):
        t = make(n).timesteps.double().numpy()
        sums.append([n, float(t.sum()), float((t * np.arange(1, n + 1)).sum())])
    names[name] = {"runs": runs, "time_sums": sums}
others = {f"{kind} {lo} {hi}": f32(DDIMScheduler(beta_start=lo, beta_end=hi, beta_schedule=kind).alphas_cumprod[::111])
          for kind, lo, hi in (("scaled_linear", .0015, .0195), ("linear", .0001, .02))}
json.dump({"made_with": f"torch {torch.__version__.split('+')[0]}, diffusers {diffusers.__version__}",
           "other_alphas_cumprod_every_111th": others,
           "alphas_cumprod_f32": f32(DDIMScheduler.from_config(config).alphas_cumprod), "start_f32": f32(START),
           "clean_f32": f32(CLEAN), "noises_f32": f32(NOISES), "samplers": names}, sys.stdout, indent=0)
