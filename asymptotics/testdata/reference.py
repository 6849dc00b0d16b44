"""The reference values of benchmark A by an independent program: NumPy and SciPy's Sobol points, RK4 for the mean, Heun for the
adjoint, everything as it is written in the formulas. Prints g, the loss, and both parts of N Var at the four test points.

Usage: reference.py [log2 of the nodes, 13]
"""
import sys
import numpy as np
from scipy.stats import norm, qmc

power = int(sys.argv[1]) if len(sys.argv) > 1 else 13
M, alpha = 8, 4.0
x = -1 + 2 * np.arange(M) / 7
y = np.sin(np.pi * x)
test = np.array([-0.6, 0.1, 0.5, 0.9])
u = qmc.Sobol(3, seed=1).random_base2(power)
start = np.stack([2 * u[:, 0] - 1, norm.ppf(u[:, 1]), norm.ppf(u[:, 2])])  # c, w, b


def drift(th):
    c, w, b = th
    s = np.tanh(np.outer(x, w) + b)
    g = (c * s).mean(1)
    r = alpha / M * (y - g)
    d = c * (1 - s * s)
    return np.stack([r @ s, (r * x) @ d, r @ d]), y - g


def forward(T, steps):
    h, th, path = T / steps, start.copy(), [start.copy()]
    for _ in range(steps):
        k1, _ = drift(th)
        k2, _ = drift(th + h / 2 * k1)
        k3, _ = drift(th + h / 2 * k2)
        k4, _ = drift(th + h * k3)
        th = th + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        path.append(th)
    return path


def adjoint(path, T, xs):
    steps = len(path) - 1
    h = T / steps
    c, w, b = path[-1]
    s = np.tanh(w * xs + b)
    d = c * (1 - s * s)
    psi, p = c * s, np.stack([s, d * xs, d])

    def slope(th, p):
        c, w, b = th
        s = np.tanh(np.outer(x, w) + b)
        s1 = 1 - s * s
        s2 = -2 * s * s1
        e = y - (c * s).mean(1)
        q = np.outer(x, p[1]) + p[2]
        bm = (p[0] * s + c * s1 * q).mean(1)
        dpsi = alpha / M * (bm @ (c * s))
        v = -(e[:, None]) * (s1 * p[0] + c * s2 * q) + bm[:, None] * c * s1
        dp = np.stack([(-(e[:, None]) * s1 * q + bm[:, None] * s).sum(0), (x[:, None] * v).sum(0), v.sum(0)])
        return dpsi, alpha / M * dp, np.var(alpha * e * bm)

    var = 0.0
    for n in range(steps, 0, -1):
        a1, b1, v1 = slope(path[n], p)
        a2, b2, v2 = slope(path[n - 1], p - h * b1)
        psi, p = psi - h / 2 * (a1 + a2), p - h / 2 * (b1 + b2)
        var += h / 2 * (v1 + v2)
    return psi.var(), var


for T in (1, 2, 3):
    path = forward(T, 100 * T)
    c, w, b = path[-1]
    g = [(c * np.tanh(w * v + b)).mean() for v in test]
    _, e = drift(path[-1])
    parts = [adjoint(path, T, v) for v in test]
    print("T", T, "g", np.round(g, 5), "loss", round(0.5 * np.mean(e * e), 5),
          "init", np.round([p[0] for p in parts], 5), "data", np.round([p[1] for p in parts], 5))
