"""Latents that diffusers' Stable Diffusion pipelines make of the tiny random model, for generate_test.go.

    python generate.py TINY_SD_FOLDER generate.safetensors

TINY_SD_FOLDER is testdata/golden/tiny-sd or the full set's folder of that name. See README.md.
"""

import sys

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file

folder, out = sys.argv[1:]
torch.set_num_threads(1)
unet = UNet2DConditionModel.from_pretrained(f"{folder}/diffusers/unet", variant="fp16", torch_dtype=torch.float32)
vae = AutoencoderKL.from_pretrained(f"{folder}/diffusers/vae", torch_dtype=torch.float32)
io = load_file(f"{folder}/io.safetensors")
base = PNDMScheduler.from_pretrained(f"{folder}/diffusers/scheduler").config
contexts = io["out.clip.last_hidden_state"]
schedulers = {
    "ddim": (DDIMScheduler, {}),
    "ddpm": (DDPMScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_karras": (EulerDiscreteScheduler, {"use_karras_sigmas": True}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "dpm++2m": (DPMSolverMultistepScheduler, {}),
    "dpm++2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "lcm": (LCMScheduler, {}),
}
result = {}
for name, steps, eta, scale, init in [
    ("ddim", 5, 0.0, 3.0, False),
    ("ddim", 4, 0.5, 1.0, False),
    ("ddpm", 4, 0.0, 2.0, False),
    ("euler", 5, 0.0, 3.0, False),
    ("euler_karras", 5, 0.0, 1.0, False),
    ("euler_a", 4, 0.0, 2.0, False),
    ("dpm++2m", 5, 0.0, 2.0, False),
    ("dpm++2m_karras", 6, 0.0, 1.0, False),
    ("lcm", 3, 0.0, 1.0, False),
    ("ddim", 5, 0.0, 2.0, True),
    ("euler", 5, 0.0, 2.0, True),
    ("dpm++2m", 5, 0.0, 2.0, True),
]:
    cls, extra = schedulers[name]
    pipe = (StableDiffusionImg2ImgPipeline if init else StableDiffusionPipeline)(
        vae=vae, text_encoder=None, tokenizer=None, unet=unet, scheduler=cls.from_config(base, **extra),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    args = dict(prompt_embeds=contexts[:1], negative_prompt_embeds=contexts[1:], num_inference_steps=steps, eta=eta,
                guidance_scale=scale, generator=torch.Generator().manual_seed(42), output_type="latent")
    if init:
        args |= dict(image=io["in.img"][:1].clamp(-1, 1), strength=0.6)
    else:
        args |= dict(height=128, width=128)
    z = pipe(**args).images
    key = f"{name}.{steps}.{eta}.{scale}.{'init' if init else 'text'}"
    result[key] = z.contiguous()
    print(key, z.shape, z.std())
save_file(result, out)
