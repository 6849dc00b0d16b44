#!/usr/bin/python3
"""Golden trajectories of adaptive momentum and batch-normalisation preconditioning: writes golden_adaptive.json
beside this file. Run with python3-numpy:  /usr/bin/python3 golden_adaptive.py

Plain NumPy from the equations of the papers, independently of the Go code: momentum in the papers' own variables (SRSGD
and Nesterov with the points v), the preconditioner as the explicit matrix P of each layer, applied to the
matrix of its bias and weights. Network, data and steps are those of golden.py:

    h = tanh(X W1 + b1),  y = h W2 + b2,  L = mean over rows and columns of (y - t)^2

with X 12x3, W1 3x4, W2 4x2, fifty full-batch steps. Weight decay acts on W1 and W2 only.
"""
import json
import math
import os

import numpy as np

STEPS, ROWS = 50, 12
RECORD = [1, 2, 3, 10, 25, 50]
SHAPES = [(3, 4), (4,), (4, 2), (2,)]
IS_WEIGHT = [True, False, True, False]
X = np.array([[round(math.sin(1 + 2.3 * i + 1.7 * j), 6) for j in range(3)] for i in range(ROWS)])
Y = np.array([[round(math.cos(0.5 + 1.1 * i - 0.9 * j), 6) for j in range(2)] for i in range(ROWS)])
START = [np.array([round(0.7 * math.sin(3.1 * k + 0.4 * n + 1), 6) for k in range(int(np.prod(s)))]).reshape(s)
         for n, s in enumerate(SHAPES)]


def evaluate(p):
    """Loss, gradient, and the inputs of the two layers."""
    w1, b1, w2, b2 = p
    h = np.tanh(X @ w1 + b1)
    e = h @ w2 + b2 - Y
    dy = 2 * e / e.size
    dz = (dy @ w2.T) * (1 - h * h)
    return float(np.mean(e * e)), [X.T @ dz, dz.sum(0), h.T @ dy, dy.sum(0)], [X, h]


def flat(p):
    return np.concatenate([np.asarray(a).ravel() for a in p])


def unflat(v):
    out, at = [], 0
    for s in SHAPES:
        n = int(np.prod(s))
        out.append(v[at:at + n].reshape(s))
        at += n
    return out


WEIGHTS = flat([np.full(s, float(w)) for s, w in zip(SHAPES, IS_WEIGHT)])
CASES = []


def case(method, settings, make, decay=0.0, coupled=True, factor=lambda t: 1.0, schedules=None):
    """make(step) returns update(x, g, inputs, rate) -> new x on flat vectors; decay is added to g where coupled."""
    x, losses, trajectory = flat(START), [], {}
    update = make()
    for t in range(STEPS):
        loss, g, inputs = evaluate(unflat(x))
        losses.append(loss)
        g = flat(g) + (decay * WEIGHTS * x if coupled else 0)
        rate = settings["lr"] * factor(t)
        before = x
        x = update(x, g, inputs, rate)
        if not coupled:
            x = x - rate * decay * WEIGHTS * before
        if t + 1 in RECORD:
            trajectory[str(t + 1)] = [float(v) for v in x]
    if decay:
        settings = dict(settings, **{"weight-decay": decay})
    c = {"method": method, "settings": settings, "params": trajectory, "losses": losses}
    if schedules:
        c["schedules"] = schedules
    CASES.append(c)


# ---- conjugate-gradient momentum --------------------------------------------------------------------------
GROUPS = []
for i, s in enumerate(SHAPES):
    GROUPS += [i] * int(np.prod(s))
GROUPS = np.array(GROUPS)


class Conjugate:
    def __init__(self, pr=False, cap=0.99, d=0.0, per_tensor=False, every=0, uphill=False, drop=True):
        self.pr, self.cap, self.d, self.every, self.uphill, self.drop = pr, cap, d, every, uphill, drop
        self.group = [GROUPS == i for i in range(4)] if per_tensor else [np.ones_like(GROUPS, bool)]
        self.t, self.since = 0, 0

    def direction(self, g, rate):
        self.t += 1
        restart = self.t == 1 or (self.every and self.since == self.every) or (self.drop and self.t > 1 and rate <= self.rate / 2)
        self.rate = rate
        self.since = 1 if restart else self.since + 1
        b = g.copy()
        norms, crosses = [], []
        for i, m in enumerate(self.group):
            n = float(g[m] @ g[m])
            if self.t > 1:
                c = float(g[m] @ self.g[m])
                n = self.d * self.norms[i] + (1 - self.d) * n
                if self.t > 2:
                    c = self.d * self.crosses[i] + (1 - self.d) * c
                top = max(0.0, n - c) if self.pr else n
                beta = 0.0 if restart else min(self.cap, top / self.norms[i])
                if self.uphill and float(g[m] @ (g[m] + beta * self.b[m])) <= 0:
                    beta = 0.0
                b[m] += beta * self.b[m]
                crosses.append(c)
            norms.append(n)
        self.norms, self.crosses, self.g, self.b = norms, crosses, g, b
        return b


def conjugate(**o):
    def make():
        c = Conjugate(**o)
        return lambda x, g, inputs, rate: x - rate * c.direction(g, rate)
    return make


step3 = dict(factor=lambda t: 0.3 ** ((t >= 25) + (t >= 37.5)), schedules={"lr": "step:0.3@0.5,0.75"})
for name, pr in (("fr-momentum", False), ("pr-momentum", True)):
    case(name, {"lr": 0.05}, conjugate(pr=pr))
    case(name, {"lr": 0.05, "cap": 1e6}, conjugate(pr=pr, cap=1e6), decay=0.02)
    case(name, {"lr": 0.05, "smoothing": 0.9, "restart": 7}, conjugate(pr=pr, d=0.9, every=7))
    case(name, {"lr": 0.1, "per-tensor": 1, "restart-uphill": 1, "cap": 2}, conjugate(pr=pr, per_tensor=True, uphill=True, cap=2), **step3)
    case(name, {"lr": 0.1, "restart-at-drop": 0, "smoothing": 0.5}, conjugate(pr=pr, d=0.5, drop=False), **step3)


# ---- scheduled and adaptive restart -----------------------------------------------------------------------
def srsgd(length):
    def make():
        s = {"c": 1, "stage": 0}

        def update(x, g, inputs, rate):
            if "v" not in s:
                s["v"] = x
            elif rate <= s["rate"] / 2:
                s["v"] = x
                s["stage"] += 1
            s["rate"] = rate
            v = x - rate * g
            mu = (s["c"] - 1) / (s["c"] + 2)
            x = v + mu * (v - s["v"])
            s["v"] = v
            s["c"] += 1
            if s["c"] >= length(s["stage"]):
                s["c"] = 1
            return x
        return update
    return make


case("srsgd", {"lr": 0.05, "restart": 9}, srsgd(lambda i: 9), decay=0.02)
case("srsgd", {"lr": 0.1, "restart": 5, "growth": 1.5}, srsgd(lambda i: math.floor(5 * (1 + 0.5 * i))), **step3)
case("srsgd", {"lr": 0.1, "restart": 5, "growth": 1.5, "exponential": 1}, srsgd(lambda i: math.floor(5 * 1.5 ** i)), **step3)


def adaptive(by_value):
    def make():
        s = {"c": 1}

        def update(x, g, inputs, rate):
            loss = evaluate(unflat(x))[0]
            v = x - rate * g
            before = s.get("v", x)
            if (loss > s.get("loss", math.inf)) if by_value else (g @ (v - before) > 0):
                s["c"] = 1
            x = v + (s["c"] - 1) / (s["c"] + 2) * (v - before)
            s["c"] += 1
            s["v"], s["loss"] = v, loss
            return x
        return update
    return make


case("adaptive-restart-nesterov", {"lr": 0.3}, adaptive(False))
case("adaptive-restart-nesterov", {"lr": 0.5, "by-value": 1}, adaptive(True), decay=0.02)


# ---- batch-normalisation preconditioning ------------------------------------------------------------------
class BNP:
    def __init__(self, rho=0.99, eps1=1e-2, eps2=1e-4, paper=False, centring=True, scaling=True):
        self.o = (rho, eps1, eps2, paper, centring, scaling)
        self.m = [[np.zeros(s[0]), (np.ones if paper else np.zeros)(s[0])] for s in SHAPES if len(s) == 2]
        self.t = 0

    def matrices(self, inputs):
        rho, eps1, eps2, paper, centring, scaling = self.o
        self.t += 1
        out = []
        for (m1, m2), h in zip(self.m, inputs):
            mean = h.mean(0)
            m1[...] = rho * m1 + (1 - rho) * mean
            if paper:
                m2[...] = rho * m2 + (1 - rho) * h.var(0)
                mu, var = m1, m2
            else:
                m2[...] = rho * m2 + (1 - rho) * (h * h).mean(0)
                c = 1 - rho ** self.t
                mu = m1 / c
                var = np.maximum(m2 / c - mu * mu, 0)
            st = var + eps1 * var.max() + eps2 if scaling else np.ones_like(var)
            n = len(mu)
            u = np.eye(n + 1)
            if centring:
                u[0, 1:] = -mu
            q = math.sqrt(max(n / ROWS, 1))
            out.append(u @ np.diag(np.concatenate([[1.0], 1 / np.sqrt(st)])) / q)
        return out


def times(matrices, v, transposed):
    """P v or P^T v on the flat vector v: each layer is the matrix [b; W], one column a unit."""
    w1, b1, w2, b2 = unflat(v)
    out = []
    for p, w, b in zip(matrices, (w1, w2), (b1, b2)):
        a = (p.T if transposed else p) @ np.vstack([b, w])
        out += [a[1:], a[0]]
    return flat(out)


def bnp(inner, two_sided=False, **o):
    """inner() returns direction(g, rate)."""
    def make():
        pre, direction = BNP(**o), inner()

        def update(x, g, inputs, rate):
            m = pre.matrices(inputs)
            g = times(m, g, True)
            if two_sided:
                return x - rate * times(m, direction(g, rate), False)
            return x - rate * direction(times(m, g, False), rate)
        return update
    return make


def plain():
    return lambda g, rate: g


def momentum(mu):
    def make():
        s = {"b": 0}

        def direction(g, rate):
            s["b"] = mu * s["b"] + g
            return s["b"]
        return direction
    return make


def adam(b1=0.9, b2=0.999, eps=1e-8):
    def make():
        s = {"m": 0, "v": 0, "t": 0}

        def direction(g, rate):
            s["t"] += 1
            s["m"] = b1 * s["m"] + (1 - b1) * g
            s["v"] = b2 * s["v"] + (1 - b2) * g * g
            return s["m"] / (1 - b1 ** s["t"]) / (np.sqrt(s["v"] / (1 - b2 ** s["t"])) + eps)
        return direction
    return make


case("bnp", {"lr": 0.1}, bnp(plain))
case("bnp", {"lr": 0.1, "eps1": 0, "eps2": 1e-8, "statistics-decay": 0.8, "paper-statistics": 1},
     bnp(plain, rho=0.8, eps1=0, eps2=1e-8, paper=True), decay=0.05, coupled=False)
case("bnp", {"lr": 0.1, "centring": 0}, bnp(plain, centring=False))
case("bnp", {"lr": 0.1, "scaling": 0}, bnp(plain, scaling=False))
case("bnp-momentum", {"lr": 0.02, "momentum": 0.8}, bnp(momentum(0.8)), decay=0.05, coupled=False)
case("bnp-fr", {"lr": 0.02, "two-sided": 1}, bnp(lambda: Conjugate().direction, two_sided=True))
case("bnp-fr", {"lr": 0.02, "two-sided": 0, "cap": 0.9}, bnp(lambda: Conjugate(cap=0.9).direction))
case("bnp-adam", {"lr": 0.01, "two-sided": 1}, bnp(adam(), two_sided=True))
case("bnp-adam", {"lr": 0.02, "two-sided": 0, "beta1": 0.8, "eps": 1e-4}, bnp(adam(b1=0.8, eps=1e-4)), decay=0.05, coupled=False)

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "golden_adaptive.json"), "w") as f:
    json.dump({"steps": STEPS, "x": X.ravel().tolist(), "y": Y.ravel().tolist(),
               "start": [float(v) for v in flat(START)], "cases": CASES}, f, indent=None, separators=(",", ":"))
    f.write("\n")
