"""Writes small PyTorch checkpoints and, in expected.json, the numbers in them.

    python3 make_checkpoints.py    # in this folder; needs torch and numpy

Each file is saved by torch.save itself; expected.json maps file -> set and
set -> tensor -> {dtype, shape, values}, where dtype is spelled as in safetensors
and values are what Python reads out of the tensor (null: a type with no plain
numbers). What two files hold alike is one set.
"""

import json
import sys
import types
from collections import Counter, OrderedDict

import numpy as np
import torch

torch.manual_seed(0)
SPELLING = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64", torch.float8_e4m3fn: "F8_E4M3",
    torch.uint16: "U16",
}
UNREAD = {torch.complex64, torch.float8_e4m3fn, torch.uint16}
expected = {"files": {}, "sets": {}}


def save(file, what, set_name, tensors, **options):
    torch.save(what, file, **options)
    expected["files"][file] = set_name
    expected["sets"][set_name] = {
        name: {
            "dtype": SPELLING[t.dtype],
            "shape": list(t.shape),
            "values": None if t.dtype in UNREAD else t.detach().double().flatten().tolist(),
        }
        for name, t in tensors.items()
        if isinstance(name, str) and isinstance(t, torch.Tensor)
    }


# A stand-in for PyTorch Lightning: real Stable Diffusion checkpoints hold this
# class as a key of "callbacks", by name.
parts = "pytorch_lightning.callbacks.model_checkpoint".split(".")
for i in range(len(parts)):
    path = ".".join(parts[: i + 1])
    sys.modules[path] = types.ModuleType(path)


class ModelCheckpoint:
    pass


ModelCheckpoint.__module__ = ".".join(parts)
sys.modules[ModelCheckpoint.__module__].ModelCheckpoint = ModelCheckpoint

base = torch.randn(4, 6)
state = OrderedDict()
state["f32"] = torch.randn(2, 3)
state["f16"] = torch.randn(5).half()
state["bf16"] = torch.randn(2, 2).bfloat16()
state["f64"] = torch.randn(3).double()
state["i64"] = torch.tensor([[1, -2, 1 << 40]])
state["i32"] = torch.tensor([7, -8], dtype=torch.int32)
state["i16"] = torch.tensor([300, -300], dtype=torch.int16)
state["i8"] = torch.tensor([-128, 127], dtype=torch.int8)
state["u8"] = torch.tensor([0, 255], dtype=torch.uint8)
state["bool"] = torch.tensor([True, False, True])
state["scalar"] = torch.tensor(0.5)
state["empty"] = torch.zeros(0, 3)
state["shared.whole"] = base
state["shared.rows"] = base[1:3]
state["shared.columns"] = base[:, 2:5]
state["shared.transposed"] = base.t()
state["shared.step"] = base[::2, ::3]
state["permuted"] = torch.randn(2, 3, 4).permute(2, 0, 1)
state["channels_last"] = torch.randn(1, 3, 2, 2).to(memory_format=torch.channels_last)
state["expanded"] = torch.randn(3, 1).expand(3, 4)
state["not a tensor"] = 5


def lightning(state):
    w = torch.nn.Parameter(torch.randn(2))
    adam = torch.optim.Adam([w])
    w.sum().backward()
    adam.step()
    steps = torch.optim.lr_scheduler.MultiStepLR(adam, [3, 5])
    return {
        "epoch": 1,
        "global_step": 123456,
        "pytorch-lightning_version": "1.4.2",
        "callbacks": {
            ModelCheckpoint: {
                "monitor": "val/loss_simple_ema",
                "best_model_score": torch.tensor(0.25),
                "current_score": np.float64(0.5),
                "kth_value": np.float32(1),
                "best_k_models": {},
                "dirpath": "logs",
            }
        },
        "optimizer_states": [adam.state_dict()],
        "lr_schedulers": [steps.state_dict()],
        "random": np.arange(3),
        "hyper_parameters": {"shape": torch.Size([1, 2]), "device": torch.device("cpu"), "dtype": torch.float16,
                             "set": {1, 2}, "counter": Counter("ab"), "bytes": b"ab", "float": 1.5, "big": 1 << 70},
        "state_dict": state,
    }


save("lightning.ckpt", lightning(state), "state", state)
save("lightning-legacy.ckpt", lightning(state), "state", state, _use_new_zipfile_serialization=False)
save("protocol4.pt", lightning(state), "state", state, pickle_protocol=4)
save("protocol4-legacy.pt", lightning(state), "state", state, pickle_protocol=4, _use_new_zipfile_serialization=False)

# A module's state_dict carries an attribute, _metadata: opcode BUILD.
module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).state_dict()
save("module.pth", module, "module", module)
save("module-legacy.bin", module, "module", module, _use_new_zipfile_serialization=False)

tagged = torch.nn.Parameter(torch.randn(2))
tagged.note = "an attribute of Python"
plain = torch.randn(2)
plain.note = "an attribute of Python"
parameters = {"a": torch.nn.Parameter(torch.randn(3), requires_grad=False), "b": tagged, "c": plain}
save("parameters.pth", parameters, "parameters", parameters)

save("params_ema.pth", {"params": {"x": torch.zeros(2)}, "params_ema": {"x": torch.ones(2)}}, "ones", {"x": torch.ones(2)})
save("nested.pth", {"iteration": 7, "net": {"x": torch.ones(2)}}, "ones", {"x": torch.ones(2)})

rare = {
    "ok": torch.randn(2),
    "complex": torch.randn(2, dtype=torch.complex64),
    "f8": torch.randn(4).to(torch.float8_e4m3fn),
    "u16": torch.tensor([1, 2], dtype=torch.uint16),
}
save("rare.pth", rare, "rare", rare)

# These are refused.
torch.save({"a": {"x": torch.ones(2)}, "b": {"x": torch.ones(2)}}, "refused-two.pth")
torch.save(torch.nn.Linear(1, 1), "refused-module.pth")
torch.save({"x": torch.eye(2).to_sparse()}, "refused-sparse.pth")
torch.save({"x": torch.randn(2, dtype=torch.complex64).conj()}, "refused-conjugate.pth")

with open("expected.json", "w") as f:
    json.dump(expected, f, indent=0, separators=(",", ":"))
    f.write("\n")
