"""Writes torch_ops.json: values, gradients and Hessian-vector products by PyTorch, in double precision.

Run with the system's Python and PyTorch 1.13: /usr/bin/python3 torch_ops.py > torch_ops.json

For every case: the inputs, the output y, and with s = sum(c * y) for a fixed c the gradient of s with
respect to every input and the product of the Hessian of s with v. Images are NHWC in the file.
"""
import json
import math
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(20240601)
cases = {}


def case(name, f, *inputs):
    x = [i.clone().requires_grad_() for i in inputs]
    y = f(*x)
    c = torch.randn_like(y)
    v = [torch.randn_like(i) for i in x]
    s = (c * y).sum()
    g = torch.autograd.grad(s, x, create_graph=True)
    gv = sum((a * b).sum() for a, b in zip(g, v))
    h = torch.autograd.grad(gv, x, allow_unused=True)
    h = [torch.zeros_like(i) if k is None else k for i, k in zip(x, h)]
    pack = lambda t: {"shape": list(t.shape), "data": t.detach().flatten().tolist()}
    cases[name] = {
        "inputs": [pack(i) for i in x], "y": pack(y), "c": pack(c), "v": [pack(k) for k in v],
        "gradient": [pack(k) for k in g], "hvp": [pack(k) for k in h],
    }


n = lambda *s: torch.randn(*s)
labels = torch.tensor([1, 0, 3])
case("gelu", F.gelu, 2 * n(3, 4))
case("silu", F.silu, 2 * n(3, 4))
case("softplus", F.softplus, 2 * n(3, 4))
case("elu", F.elu, 2 * n(3, 4))
case("sigmoid", torch.sigmoid, 2 * n(3, 4))
case("tanh", torch.tanh, 2 * n(3, 4))
case("log_softmax", lambda x: F.log_softmax(x, -1), 2 * n(3, 4))
case("softmax", lambda x: F.softmax(x, -1), 2 * n(3, 4))
case("logsumexp", lambda x: torch.logsumexp(x, -1), 2 * n(3, 4))
case("linear", lambda x, w, b: torch.tanh(F.linear(x, w.t(), b)), n(3, 4), n(4, 2), n(2))
case("layer_norm", lambda x, g, b: F.layer_norm(x, (4,), g, b, 1e-5), n(3, 4), n(4), n(4))
case("batch_norm", lambda x, g, b: F.batch_norm(x, None, None, g, b, True, 0.1, 1e-5), n(5, 3), n(3), n(3))
case("batch_norm_eval", lambda x, g, b: F.batch_norm(x, torch.tensor([0.1, -0.2, 0.3]), torch.tensor([0.5, 1.0, 2.0]), g, b, False, 0.1, 1e-5),
     n(5, 3), n(3), n(3))
nchw = lambda x: x.permute(0, 3, 1, 2)
nhwc = lambda x: x.permute(0, 2, 3, 1)
case("group_norm", lambda x, g, b: nhwc(F.group_norm(nchw(x), 2, g, b, 1e-5)), n(2, 2, 3, 4), n(4), n(4))
case("rms_norm", lambda x, g: g * x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5), n(3, 4), n(4))
case("cross_entropy", lambda z: F.cross_entropy(z, labels), 2 * n(3, 4))
case("cross_entropy_smooth", lambda z: F.cross_entropy(z, labels, label_smoothing=0.1), 2 * n(3, 4))
case("squared", lambda z, y: 0.5 * F.mse_loss(z, y, reduction="sum") / 3, n(3, 4), n(3, 4))
case("bernoulli", lambda z: F.binary_cross_entropy_with_logits(z, torch.linspace(0, 1, 12).reshape(3, 4), reduction="sum") / 3, 3 * n(3, 4))
case("poisson", lambda z: F.poisson_nll_loss(z, torch.arange(12.0).reshape(3, 4), reduction="sum") / 3, n(3, 4))
case("huber", lambda z: F.huber_loss(z, torch.zeros(3, 4), delta=0.7, reduction="sum") / 3, 2 * n(3, 4))
case("embedding", lambda t: torch.sin(F.embedding(torch.tensor([2, 0, 2, 1, 2]), t)), n(4, 3))


def attention(q, k, v, heads, causal):
    split = lambda x: x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
    q, k, v = split(q), split(k), split(v)
    a = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        a = a.masked_fill(torch.ones(a.shape[-2:]).triu(1).bool(), float("-inf"))
    y = (a.softmax(-1) @ v).transpose(1, 2)
    return y.reshape(y.shape[0], y.shape[1], -1)


case("attention", lambda q, k, v: attention(q, k, v, 2, False), n(2, 3, 4), n(2, 3, 4), n(2, 3, 4))
case("attention_causal", lambda q, k, v: attention(q, k, v, 2, True), n(2, 3, 4), n(2, 3, 4), n(2, 3, 4))
sparse = torch.sparse_coo_tensor([[0, 0, 2, 2, 2], [3, 1, 0, 2, 3]], [0.5, -1.0, 2.0, 3.0, -0.25], (3, 4)).to_dense()
case("sparse", lambda x: torch.sin(sparse @ x), n(4, 2))


def mlp(x, w1, b1, w2, b2):
    return F.cross_entropy(torch.tanh(x @ w1 + b1) @ w2 + b2, labels)


case("mlp", mlp, n(3, 5), n(5, 6), n(6), n(6, 4), n(4))
print(json.dumps(cases, indent=None, separators=(",", ":")))
