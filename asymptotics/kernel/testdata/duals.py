"""Golden values of the duals E s(u) s(v) and E s'(u) s'(v), (u, v) normal with variances a, b and covariance c.

Usage: duals.py > duals.json

Everything is one numerical integral in two dimensions: u = sqrt(a) z, v = sqrt(b) (r z + sqrt(1 - r^2) z2) with independent
standard normal z, z2; Gauss-Legendre panels of 20 nodes on [-10, 10] that end at the kinks of the function, in z and, for each
z, in z2. No formula of a kernel and no expansion enters. scipy provides erf.
"""
import json
import numpy as np
from scipy.special import erf, expit

X, W = np.polynomial.legendre.leggauss(20)
REACH = 10.0


def panels(edges, parts):
    """Nodes and weights on rows of ascending edges [n, k], each interval cut into parts equal panels."""
    lo, hi = edges[:, :-1, None], edges[:, 1:, None]
    cut = np.arange(parts) / parts
    left = lo + (hi - lo) * cut
    half = (hi - lo) / parts / 2
    mid = left + half
    z = mid[..., None] + half[..., None] * X
    w = np.broadcast_to(half[..., None] * W, z.shape)
    n = edges.shape[0]
    return z.reshape(n, -1), w.reshape(n, -1)


def density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def dual(f, kinks, a, b, c):
    r = c / np.sqrt(a * b)
    rest = np.sqrt(1 - r * r)
    inside = [k / np.sqrt(a) for k in kinks if abs(k) < REACH * np.sqrt(a)]
    # The inner integral turns quickly where the kink of v sweeps through.
    turns = [k / (np.sqrt(b) * r) for k in kinks if r and abs(k) < REACH * np.sqrt(b) * abs(r)]
    z, w = panels(np.sort(np.array([[-REACH, *inside, *turns, REACH]])), 24)
    z, w = z[0], w[0]
    edges = [np.full_like(z, -REACH)]
    for k in kinks:
        edges.append(np.clip((k / np.sqrt(b) - r * z) / rest, -REACH, REACH))
    edges.append(np.full_like(z, REACH))
    z2, w2 = panels(np.stack(edges, axis=1), 24)
    inner = np.sum(f(np.sqrt(b) * (r * z[:, None] + rest * z2)) * w2 * density(z2), axis=1)
    return float(np.sum(f(np.sqrt(a) * z) * inner * w * density(z)))


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def gelu1(x):
    return (1 + erf(x / np.sqrt(2))) / 2 + x * density(x)


FUNCTIONS = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, [0]),
    "leaky-relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1, 0.01), [0]),
    "abs": (np.abs, np.sign, [0]),
    "identity": (lambda x: x, np.ones_like, []),
    "erf": (erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x), []),
    "sin": (np.sin, np.cos, []),
    "cos": (np.cos, lambda x: -np.sin(x), []),
    "exp": (np.exp, np.exp, []),
    "step": (lambda x: (x > 0) * 1.0, np.zeros_like, [0]),
    "sign": (np.sign, np.zeros_like, [0]),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, []),
    "sigmoid": (expit, lambda x: expit(x) * expit(-x), []),
    "gelu": (gelu, gelu1, []),
    "silu": (lambda x: x * expit(x), lambda x: expit(x) + x * expit(x) * expit(-x), []),
    "softplus": (lambda x: np.logaddexp(0, x), expit, []),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: np.exp(np.minimum(x, 0)), [0]),
    "hard-tanh": (lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) < 1) * 1.0, [-1, 1]),
}
PAIRS = [(1, 1, 0.5), (1, 1, -0.9), (0.3, 2, 0.1), (2.5, 0.8, 1.3), (0.5, 0.5, 0.0)]

rows = []
for name, (f, df, kinks) in FUNCTIONS.items():
    for a, b, c in PAIRS:
        rows.append({"name": name, "smooth": not kinks, "a": a, "b": b, "c": c, "value": dual(f, kinks, a, b, c), "slope": dual(df, kinks, a, b, c)})
print("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]")
