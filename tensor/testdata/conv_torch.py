#!/usr/bin/env python3
"""Makes conv_torch.json: convolutions and poolings with their gradients by PyTorch (float64).

Images and weights are stored in this library's order: images [batch, height, width, channels], weights
[kh*kw*in/groups, out] with rows (ky, kx, channel).  Run: python3 conv_torch.py > conv_torch.json
"""
import json
import torch
import torch.nn.functional as F

torch.manual_seed(0)
CASES = [  # kind, batch, height, width, in, out, kh, kw, stride, pad, dilation, groups
    ("conv", 2, 5, 6, 3, 4, 3, 3, 1, 0, 1, 1),
    ("conv", 2, 6, 5, 2, 3, 3, 2, 2, 1, 1, 1),
    ("conv", 1, 7, 7, 4, 4, 3, 3, 1, 2, 2, 2),
    ("conv", 2, 7, 6, 3, 3, 2, 3, 3, 2, 1, 3),
    ("max", 2, 6, 6, 3, 3, 2, 2, 2, 0, 1, 1),
    ("max", 2, 7, 6, 3, 3, 3, 3, 2, 1, 1, 1),
    ("avg", 2, 6, 5, 2, 2, 2, 3, 2, 0, 1, 1),
    ("avg", 2, 6, 5, 2, 2, 3, 3, 2, 1, 1, 1),
]


def nhwc(t):
    return [round(v, 15) for v in t.detach().permute(0, 2, 3, 1).reshape(-1).tolist()]


def rows(w):  # [out, in/groups, kh, kw] -> [kh*kw*in/groups, out]
    return [round(v, 15) for v in w.detach().permute(2, 3, 1, 0).reshape(-1).tolist()]


out = []
for kind, n, h, w, ci, co, kh, kw, stride, pad, dil, groups in CASES:
    x = torch.randn(n, ci, h, w, dtype=torch.float64).mul(4).round().div(4).requires_grad_()
    case = dict(kind=kind, batch=n, height=h, width=w, out=co, kh=kh, kw=kw, stride=stride, pad=pad, dil=dil, groups=groups)
    case["in"] = ci
    if kind == "conv":
        wt = torch.randn(co, ci // groups, kh, kw, dtype=torch.float64).mul(4).round().div(4).requires_grad_()
        b = torch.randn(co, dtype=torch.float64).mul(4).round().div(4).requires_grad_()
        y = F.conv2d(x, wt, b, stride, pad, dil, groups)
    elif kind == "max":
        y = F.max_pool2d(x, (kh, kw), stride, pad, dil)
    else:
        y = F.avg_pool2d(x, (kh, kw), stride, pad, count_include_pad=False)
    dy = torch.randn_like(y).mul(4).round().div(4)
    y.backward(dy)
    case.update(x=nhwc(x), y=nhwc(y), dy=nhwc(dy), dx=nhwc(x.grad))
    if kind == "conv":
        case.update(w=rows(wt), b=b.tolist(), dw=rows(wt.grad), db=b.grad.tolist())
    out.append(case)
print(json.dumps({"torch": torch.__version__, "cases": out}, separators=(",", ":")))
