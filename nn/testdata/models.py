"""Golden outputs of models, from PyTorch in double precision.

    python3 models.py > models.json

The parameters are p[i] = sin(i + 1) * 0.1 in the order of package nn's layout (weights [in, out], kernels
[kh, kw, in, out], images [h, w, c]); normalisation scales are 1 + that. The inputs are cos(i + 1).
"""

import json
import torch
import torch.nn as nn
import torch.nn.functional as F


class Params:
    def __init__(self):
        self.i = 0

    def take(self, *shape):
        n = int(torch.tensor(shape).prod())
        x = torch.sin(torch.arange(self.i + 1, self.i + n + 1, dtype=torch.float64)) * 0.1
        self.i += n
        return x.reshape(shape)


def images(n, h, w, c):
    x = torch.cos(torch.arange(1, n * h * w * c + 1, dtype=torch.float64)).reshape(n, h, w, c)
    return x.permute(0, 3, 1, 2)


def conv(p, x, k, out, pad, bias=True, stride=1):
    cin = x.shape[1]
    w = p.take(k, k, cin, out).permute(3, 2, 0, 1)
    b = p.take(out) if bias else None
    return F.conv2d(F.pad(x, pad), w, b, stride=stride)


def dense(p, x, out):
    w, b = p.take(x.shape[1], out), p.take(out)
    return x @ w + b


def flat(x):  # in the order height, width, channel
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)


def lenet5():
    p, x = Params(), images(2, 12, 12, 1)
    x = F.max_pool2d(F.relu(conv(p, x, 5, 6, (2, 2, 2, 2))), 2)
    x = F.max_pool2d(F.relu(conv(p, x, 5, 16, (0, 0, 0, 0))), 2)
    x = F.relu(dense(p, flat(x), 120))
    x = F.relu(dense(p, x, 84))
    return dense(p, x, 10)


def same_pool(x, k, stride):  # TensorFlow's "same": the larger half at the bottom and right
    h, w = x.shape[2:]
    def total(n):
        return max(0, (-(-n // stride) - 1) * stride + k - n)
    th, tw = total(h), total(w)
    x = F.pad(x, (tw // 2, tw - tw // 2, th // 2, th - th // 2), value=float("-inf"))
    return F.max_pool2d(x, k, stride)


def net3c3d():
    p, x = Params(), images(2, 12, 12, 3)
    x = same_pool(F.relu(conv(p, x, 5, 64, (0, 0, 0, 0))), 3, 2)
    x = same_pool(F.relu(conv(p, x, 3, 96, (0, 0, 0, 0))), 3, 2)
    x = same_pool(F.relu(conv(p, x, 3, 128, (1, 1, 1, 1))), 3, 2)
    x = F.relu(dense(p, flat(x), 512))
    x = F.relu(dense(p, x, 256))
    return dense(p, x, 10)


def batch_norm(p, x, stats):
    c = x.shape[1]
    scale, shift = 1 + p.take(c), p.take(c)
    mean, var = torch.zeros(c, dtype=torch.float64), torch.ones(c, dtype=torch.float64)
    y = F.batch_norm(x, mean, var, scale, shift, training=True, momentum=0.1, eps=1e-5)
    stats += mean.tolist() + var.tolist()
    return y


def resnet20():
    p, x, stats = Params(), images(3, 8, 8, 3), []
    x = F.relu(batch_norm(p, conv(p, x, 3, 16, (1, 1, 1, 1), bias=False), stats))
    cin = 16
    for out in (16, 32, 64):
        for _ in range(3):
            stride = 1 if out == cin else 2
            # "same" padding of 3x3 with stride 2 on an even size is 0 before and 1 after
            pad = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)
            y = F.relu(batch_norm(p, conv(p, x, 3, out, pad, bias=False, stride=stride), stats))
            y = batch_norm(p, conv(p, y, 3, out, (1, 1, 1, 1), bias=False), stats)
            s = x[:, :, ::stride, ::stride]
            s = F.pad(s, (0, 0, 0, 0, 0, out - cin))
            x = F.relu(y + s)
            cin = out
    x = dense(p, x.mean(dim=(2, 3)), 10)
    return x, stats, p.i


z, stats, count = resnet20()
print(json.dumps({
    "torch": torch.__version__,
    "lenet5": lenet5().flatten().tolist(),
    "3c3d": net3c3d().flatten().tolist(),
    "resnet20": z.flatten().tolist(),
    "resnet20_state": stats,
    "resnet20_parameters": count,
}, indent=1))
