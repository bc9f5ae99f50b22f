"""Pictures that diffusers' pipelines make of the tiny random model, for generate_test.go.

    python generate.py TINY_SD_FOLDER

TINY_SD_FOLDER is testdata/golden/tiny-sd. Writes text.png, and init.png, which starts from text.png. See README.md.
"""

import sys

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

folder = sys.argv[1] + "/diffusers"
torch.set_num_threads(1)
parts = dict(
    unet=UNet2DConditionModel.from_pretrained(f"{folder}/unet", variant="fp16", torch_dtype=torch.float32),
    vae=AutoencoderKL.from_pretrained(f"{folder}/vae", torch_dtype=torch.float32),
    text_encoder=CLIPTextModel.from_pretrained(f"{folder}/text_encoder", variant="fp16", torch_dtype=torch.float32),
    tokenizer=CLIPTokenizer.from_pretrained(f"{folder}/tokenizer"),
    safety_checker=None, feature_extractor=None, requires_safety_checker=False,
)
config = PNDMScheduler.from_pretrained(f"{folder}/scheduler").config
args = dict(prompt="A photo of a cat", negative_prompt="dog, blurry", output_type="pil")

pipe = StableDiffusionPipeline(scheduler=DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True), **parts)
picture = pipe(height=128, width=128, num_inference_steps=4, guidance_scale=6.5, generator=torch.Generator().manual_seed(7), **args).images[0]
picture.save("text.png")

pipe = StableDiffusionImg2ImgPipeline(scheduler=EulerDiscreteScheduler.from_config(config), **parts)
picture = pipe(image=Image.open("text.png"), strength=0.6, num_inference_steps=5, guidance_scale=2.0,
               generator=torch.Generator().manual_seed(9), **args).images[0]
picture.save("init.png")
