"""Times PyTorch on the CPU. Reads JSON lines {"op", "shape", "dtype", "seconds", "threads"}, named as `psld bench
kernels --json` names them, and answers each with the seconds of a call: {"pytorch": s, "onednn": s}.

pytorch is the ordinary function on ordinary tensors. onednn is oneDNN through PyTorch's own operators with
the weight reordered beforehand into the layout that oneDNN asks for, as psld packs its frozen weights
once; it is left out where there is no such operator. Pictures are channels last.
In bf16 all of PyTorch's tensors are bfloat16; psld reads and writes float32 and rounds on the way.
"""

import json
import re
import sys
import time

import torch
import torch.nn.functional as F

ONES = [1, 1]


def tensor(dtype, *shape):
    return (2 * torch.rand(*shape) - 1).to(dtype)


def linear(op, shape, dtype):
    rows, n_in, n_out = map(int, shape.split("x"))
    x, dy, w, b = tensor(dtype, rows, n_in), tensor(dtype, rows, n_out), tensor(dtype, n_out, n_in), tensor(dtype, n_out)

    def packed(a, weight, bias):
        m = torch.ops.mkldnn._reorder_linear_weight(weight, a.shape[0])
        return lambda: torch.ops.mkldnn._linear_pointwise(a, m, bias, "none", [], "")

    if op == "Linear":
        return {"pytorch": lambda: F.linear(x, w, b), "onednn": packed(x, w, b)}
    if op == "LinearGradInput":
        return {"pytorch": lambda: dy @ w, "onednn": packed(dy, w.t().contiguous(), None)}
    return {"pytorch": lambda: dy.t() @ x}


def conv(op, shape, dtype):
    size, n_in, n_out, rest = re.fullmatch(r"(\d+)x\d+x(\d+)_(\d+)_(k.*)", shape).groups()
    size, n_in, n_out = int(size), int(n_in), int(n_out)
    k, stride, up = int(rest[1]), 2 if "_s2" in rest else 1, "_up" in rest
    geometry = [stride] * 2, [k // 2] * 2, ONES
    channels_last = lambda t: t.contiguous(memory_format=torch.channels_last)
    x, w, b = channels_last(tensor(dtype, 1, n_in, size, size)), channels_last(tensor(dtype, n_out, n_in, k, k)), tensor(dtype, n_out)
    large = size * 2 if up else size
    xl = channels_last(F.interpolate(x.float(), scale_factor=2).to(dtype)) if up else x
    dy = channels_last(tensor(dtype, 1, n_out, large // stride, large // stride))

    def forward(f):
        return (lambda: f(F.interpolate(x, scale_factor=2))) if up else (lambda: f(x))

    def to_input(f):
        return (lambda: F.avg_pool2d(f(), 2, divisor_override=1)) if up else f

    def packed(weight, bias, like):
        m = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), [k // 2] * 2, [stride] * 2, ONES, 1, list(like.shape))
        return lambda a: torch.ops.mkldnn._convolution_pointwise(a, m, bias, [k // 2] * 2, [stride] * 2, ONES, 1, "none", [], "")

    def gradient(mask):
        return lambda: torch.ops.aten.convolution_backward(dy, xl, w, [n_out], *geometry, False, [0, 0], 1, mask)

    if op == "Conv2d":
        return {"pytorch": forward(lambda a: F.conv2d(a, w, b, stride, k // 2)), "onednn": forward(packed(w, b, xl))}
    if op == "Conv2dGradInput":
        timed = {"pytorch": to_input(lambda: gradient([True, False, False])()[0])}
        if stride == 1:  # the same as a convolution with the turned weight
            turned = packed(channels_last(w.transpose(0, 1).flip(2, 3)), None, dy)
            timed["onednn"] = to_input(lambda: turned(dy))
        return timed
    return {"pytorch": lambda: gradient([False, True, True])()[1]}


def attention(op, shape, dtype):
    heads, queries, keys, d = map(int, shape.split("x"))
    # As the projections leave them: [1, length, heads*d], seen as heads.
    head = lambda length: tensor(dtype, 1, length, heads, d).transpose(1, 2)
    q, k, v = head(queries), head(keys), head(keys)
    if op == "Attention":
        return {"pytorch": lambda: F.scaled_dot_product_attention(q, k, v)}
    for t in (q, k, v):
        t.requires_grad_()
    do = head(queries)
    with torch.enable_grad():
        out = F.scaled_dot_product_attention(q, k, v)
    return {"pytorch": lambda: torch.autograd.grad(out, (q, k, v), do, retain_graph=True)}


def seconds_of(f, seconds):
    f()
    calls, start = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start < seconds:
        f()
        calls += 1
    return (time.perf_counter() - start) / calls


def main():
    onednn = re.search(r"MKL-DNN v?([\d.]+)", torch.__config__.show())
    print(json.dumps({"torch": torch.__version__, "onednn": onednn and onednn[1]}), flush=True)
    torch.set_grad_enabled(False)
    kinds = {"Linear": linear, "Conv2d": conv, "Attention": attention}
    for line in sys.stdin:
        ask = json.loads(line)
        torch.set_num_threads(ask["threads"])
        make = kinds[re.match(r"(.*?)(Grad.*)?$", ask["op"])[1]]
        dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[ask["dtype"]]
        answer = {}
        for name, f in make(ask["op"], ask["shape"], dtype).items():
            answer[name] = seconds_of(f, ask["seconds"])
        print(json.dumps(answer), flush=True)


main()
