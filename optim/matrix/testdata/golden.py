#!/usr/bin/python3
"""Golden trajectories of Muon, NorMuon, SOAP, Shampoo, CASPR, PSGD-Kron and SPlus: writes golden.json beside this file.

Run with Debian's python3-numpy:  /usr/bin/python3 golden.py

Written from the equations of the papers, with LAPACK's eigenvalues, singular values and QR, independently of the Go code,
and with other arithmetic where there is a choice: Newton-Schulz steps as polynomials of singular values, SOAP's
momentum in the original basis, inverse roots by eigenvalues only. All train the network

    h = tanh(X W1 + b1),  y = h W2 + b2,  L = mean over rows and columns of (y - t)^2

with X 12x3, W1 3x4, W2 4x3 on the same twelve examples for forty full-batch steps. Null spaces of the first gradients
have dimension 1 at most, so that every eigenbasis is unique up to signs, which cancel.
"""
import json
import math
import os

import numpy as np

STEPS, ROWS, IN, HIDDEN, OUT = 40, 12, 3, 4, 3
RECORD = [1, 2, 3, 10, 25, 40]
SHAPES = [(IN, HIDDEN), (HIDDEN,), (HIDDEN, OUT), (OUT,)]
MATRIX = [True, False, True, False]
U = 2.0 ** -52

X = np.array([[round(math.sin(1 + 2.3 * i + 1.7 * j + 0.9 * i * j), 6) for j in range(IN)] for i in range(ROWS)])
Y = np.array([[round(math.cos(0.5 + 1.1 * i - 0.9 * j + 0.7 * i * j), 6) for j in range(OUT)] for i in range(ROWS)])
START = [np.array([round(0.7 * math.sin(1.3 * k * k + 0.4 * n + 1), 6) for k in range(int(np.prod(s)))]).reshape(s)
         for n, s in enumerate(SHAPES)]


def loss_grad(p):
    w1, b1, w2, b2 = p
    h = np.tanh(X @ w1 + b1)
    e = h @ w2 + b2 - Y
    dy = 2 * e / e.size
    dz = (dy @ w2.T) * (1 - h * h)
    return float(np.mean(e * e)), [X.T @ dz, dz.sum(0), h.T @ dy, dy.sum(0)]


class Adam:
    def __init__(self, b1, b2, eps):
        self.b1, self.b2, self.eps, self.m, self.v = b1, b2, eps, 0, 0

    def __call__(self, g, t):
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = self.b2 * self.v + (1 - self.b2) * g * g
        return self.m / (1 - self.b1 ** t) / (np.sqrt(self.v / (1 - self.b2 ** t)) + self.eps)


# Compositions of odd quintics nearest to 1 on [lower, 1], each the best on what the one before leaves: a linear program on
# a grid, whose solution is polished by Newton's method on all that characterises it, values and derivatives at the extrema.
def minimax(lower, n):
    from scipy.optimize import fsolve, linprog
    l, u, steps = lower, 1.0, []
    for _ in range(n):
        grid = np.concatenate([np.linspace(l, u, 4000), np.geomspace(l, u, 4000)])
        a = np.stack([grid, grid ** 3, grid ** 5], 1)
        one = np.ones((len(grid), 1))
        x = linprog([0, 0, 0, 1], np.block([[a, -one], [-a, -one]]), np.concatenate([one, -one])[:, 0], bounds=[(None, None)] * 4).x
        extrema = sorted(z.real for z in np.roots([5 * x[2], 0, 3 * x[1], 0, x[0]]) if z.real > 0)

        def conditions(y):
            p, dp = np.poly1d([y[2], 0, y[1], 0, y[0], 0]), np.poly1d([5 * y[2], 0, 3 * y[1], 0, y[0]])
            return [p(l) - 1 + y[3], p(y[4]) - 1 - y[3], p(y[5]) - 1 + y[3], p(u) - 1 - y[3], dp(y[4]), dp(y[5])]
        y = fsolve(conditions, list(x) + extrema, xtol=1e-15)
        steps.append(tuple(y[:3]))
        l, u = 1 - y[3], 1 + y[3]
    return steps


def orthogonal(x, steep, convergent, coefficients=None):
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    s = s / math.sqrt(np.sum(s * s))
    if coefficients:
        steep = 0
        for a, b, c in coefficients:
            s = a * s + b * s ** 3 + c * s ** 5
    for _ in range(steep):
        s = 3.4445 * s - 4.7750 * s ** 3 + 2.0315 * s ** 5
    for _ in range(convergent):
        s = (15 * s - 10 * s ** 3 + 3 * s ** 5) / 8
    return u @ np.diag(s) @ vt


class Muon:
    def __init__(self, mu, nesterov=True, scale="spectral", steps=5, polish=0, beta2=0.95, eps=1e-8, coefficients=None):
        self.__dict__.update(coefficients=coefficients, mu=mu, nesterov=nesterov, scale=scale, steps=steps, polish=polish, beta2=beta2, eps=eps, b=0, n=0)

    def __call__(self, g, t):
        m, n = g.shape
        self.b = self.mu * self.b + (1 - self.mu) * g
        o = orthogonal((1 - self.mu) * g + self.mu * self.b if self.nesterov else self.b, self.steps, self.polish, self.coefficients)
        if self.scale == "spectral":
            return math.sqrt(max(1, n / m)) * o
        if self.scale == "moonlight":
            return 0.2 * math.sqrt(max(m, n)) * o
        self.n = self.beta2 * self.n + (1 - self.beta2) * np.mean(o * o, axis=0)
        o = o / (np.sqrt(self.n) + self.eps)
        return 0.2 * math.sqrt(m * n) / np.linalg.norm(o) * o


class SOAP:
    def __init__(self, b1, b2, b3, eps, every, max_dim):
        self.__dict__.update(b1=b1, b2=b2, b3=b3, eps=eps, every=every, max_dim=max_dim, q=None, m=0, v=0)

    def __call__(self, g, t):
        if g.ndim == 1:
            if t == 1:
                self.adam = Adam(self.b1, self.b2, self.eps)
                return 0 * g
            return self.adam(g, t - 1)
        first = self.q is None
        if first:
            self.f = [np.zeros((k, k)) for k in g.shape]
        self.f = [self.b3 * f + (1 - self.b3) * s for f, s in zip(self.f, (g @ g.T, g.T @ g))]
        if first:
            self.q = [np.linalg.eigh(f)[1][:, ::-1] if len(f) <= self.max_dim else np.eye(len(f)) for f in self.f]
            return 0 * g
        t -= 1
        ql, qr = self.q
        r = ql.T @ g @ qr
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = self.b2 * self.v + (1 - self.b2) * r * r
        floor = 0
        if min(g.shape) <= self.max_dim:
            floor = 16 * U * math.sqrt(np.trace(self.f[0]) / (1 - self.b3 ** (t + 1)))
        d = np.sqrt(self.v / (1 - self.b2 ** t)) + self.eps + floor
        u = ql @ ((ql.T @ self.m @ qr) / (1 - self.b1 ** t) / d) @ qr.T
        if t % self.every == 0:
            for axis, f in enumerate(self.f):
                if len(f) > self.max_dim:
                    continue
                q = self.q[axis]
                order = np.argsort(-np.diag(q.T @ f @ q), kind="stable")
                self.v = np.take(self.v, order, axis)
                q = q[:, order]
                self.q[axis] = np.linalg.qr(f @ q + math.sqrt(U) * np.trace(f) / len(f) * q)[0]
        return u


def root(f, p, ridge):
    w, v = np.linalg.eigh(f)
    return v @ np.diag((np.maximum(w, 0) + ridge * np.trace(f) / len(f)) ** (-1 / p)) @ v.T


class Shampoo:
    def __init__(self, b1, b2, ridge, p, graft, ab2, eps, every, block, early=5, caspr=False):
        self.__dict__.update(b1=b1, b2=b2, ridge=ridge, p=p, graft=graft, every=min(every, early), block=block, m=0, blocks={}, caspr=caspr)
        self.adam = Adam(b1, ab2, eps)

    def __call__(self, g, t):
        step = self.adam(g, t)
        self.m = self.b1 * self.m + (1 - self.b1) * g
        mean = self.m / (1 - self.b1 ** t)
        if self.graft == 1:
            step = mean
        if g.ndim == 1:
            return step
        u = np.zeros_like(g)
        cuts = [[i * n // k for i in range(k + 1)] for n in g.shape for k in [-(-n // self.block)]]
        due = t % self.every == 0 or (t < self.every and math.log2(t) % 1 == 0)
        for a, b in zip(cuts[0], cuts[0][1:]):
            for c, d in zip(cuts[1], cuts[1][1:]):
                x, at = g[a:b, c:d], (slice(a, b), slice(c, d))
                s = self.blocks.setdefault((a, c), {"f": [0, 0]})
                fresh = 1 if self.b2 == 1 else 1 - self.b2
                s["f"] = [self.b2 * f + fresh * y for f, y in zip(s["f"], (x @ x.T, x.T @ x))]
                if due:
                    c2 = 1 if self.b2 == 1 else 1 - self.b2 ** t
                    s["r"] = [root(f / c2, self.p, self.ridge) for f in s["f"]]
                    s["h"] = [root(f / c2, 2, self.ridge) for f in s["f"]]
                if self.caspr:
                    y = (s["h"][0] @ mean[at] + 2 * s["r"][0] @ mean[at] @ s["r"][1] + mean[at] @ s["h"][1]) / 4
                else:
                    y = s["r"][0] @ mean[at] @ s["r"][1]
                u[at] = y * (np.linalg.norm(step[at]) / np.linalg.norm(y) if self.graft else 1)
        return u


class SPlus:
    """Forty steps are fewer than a hundred: the bases are renewed at powers of two only."""

    def __init__(self, b1, b2, every, max_dim):
        self.__dict__.update(b1=b1, b2=b2, every=every, max_dim=max_dim, m=0, f=[0, 0], q=None)

    def __call__(self, g, t):
        m, n = g.shape
        self.f = [self.b2 * f + (1 - self.b2) * s for f, s in zip(self.f, (g @ g.T, g.T @ g))]
        if t % self.every == 0 or (t < self.every and math.log2(t) % 1 == 0):
            self.q = [np.linalg.eigh(f)[1] if len(f) <= self.max_dim else np.eye(len(f)) for f in self.f]
        self.m = self.b1 * self.m + (1 - self.b1) * g
        x = self.q[0].T @ self.m @ self.q[1]
        delta = U ** 0.25 * math.sqrt(np.mean(x * x))
        return 2 / (m + n) * self.q[0] @ np.clip(x / np.maximum(np.abs(x), delta), -1, 1) @ self.q[1].T


def philox(key, i):
    """Block i of Philox-4x32-10, as two 64-bit numbers; the key's first half is the counter's upper half."""
    hi, lo = key
    c = [i & 0xffffffff, i >> 32 & 0xffffffff, hi & 0xffffffff, hi >> 32]
    k = [lo & 0xffffffff, lo >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q >> 32 ^ c[1] ^ k[0], q & 0xffffffff, p >> 32 ^ c[3] ^ k[1], p & 0xffffffff]
        k = [(k[0] + 0x9E3779B9) & 0xffffffff, (k[1] + 0xBB67AE85) & 0xffffffff]
    return c[0] | c[1] << 32, c[2] | c[3] << 32


def fold(key, n):
    return philox(key, n ^ 0x9e3779b97f4a7c15)


def named(key, name):
    h = 0xcbf29ce484222325  # FNV-1a
    for b in name.encode():
        h = (h ^ b) * 0x100000001b3 & 0xffffffffffffffff
    return fold(key, h)


def uniform(key, i):
    return (philox(key, i // 2)[i % 2] >> 11) * 2.0 ** -53


def normal(key, shape):
    out = []
    for j in range((shape[0] * shape[1] + 1) // 2):
        a, b = philox(key, j)
        r = math.sqrt(-2 * math.log(((a >> 11) + 0.5) * 2.0 ** -53))
        w = 2 * math.pi * (b >> 11) * 2.0 ** -53
        out += [r * math.cos(w), r * math.sin(w)]
    return np.array(out[:shape[0] * shape[1]]).reshape(shape)


class Kron:
    def __init__(self, param, beta, rate, refresh=0.03, flat=500, clip=1.1, max_dim=1024, seed=0):
        self.__dict__.update(param=param, beta=beta, rate=rate, refresh=refresh, flat=flat, clip=clip, max_dim=max_dim, m=0, q=None)
        self.key = named((0x64657363656e74, seed), "psgd-kron")

    def __call__(self, g, t):
        self.m = self.beta * self.m + (1 - self.beta) * g
        mean = self.m / (1 - self.beta ** t)
        if self.q is None:
            self.q = [np.mean(mean * mean) ** -0.125 * np.eye(k) for k in g.shape]
        p = 1 if t <= self.flat else max(self.refresh, math.exp(-(t - self.flat) / (2 * self.flat)) if self.flat else 0)
        q, r = self.q
        if uniform(named(self.key, "refresh"), t) < p:
            v = normal(fold(fold(self.key, t), self.param), g.shape)
            a, b = q @ mean @ r.T, np.linalg.inv(q).T @ v @ np.linalg.inv(r)
            for k, (x, y) in enumerate([(a @ a.T, b @ b.T), (a.T @ a, b.T @ b)]):
                if len(x) <= self.max_dim:
                    c = x + y
                    longest = c[np.argmax(np.linalg.norm(c, axis=1))]
                    norm = np.linalg.norm(c @ longest) / np.linalg.norm(longest)
                    self.q[k] = self.q[k] - self.rate / norm * np.triu(x - y) @ self.q[k]
            q, r = self.q
        u = q.T @ q @ mean @ r.T @ r
        return u * min(1, self.clip / math.sqrt(np.mean(u * u)))


CASES = []


def run(method, settings, make, lr, decay=0.0, other=1.0):
    """make(i) returns the direction of parameter i; other is the factor of what make says is not a matrix."""
    p = [a.copy() for a in START]
    rules = [make(i) for i in range(len(p))]
    losses, params = [], {}
    for t in range(1, STEPS + 1):
        loss, g = loss_grad(p)
        losses.append(loss)
        for i, (a, x) in enumerate(zip(p, g)):
            u = rules[i](x, t)
            rate = lr * (other if isinstance(rules[i], Adam) else 1)
            a -= rate * (u + (decay * a if MATRIX[i] else 0))
        if t in RECORD:
            params[str(t)] = [float(v) for a in p for v in a.ravel()]
    CASES.append({"method": method, "settings": settings, "params": params, "losses": losses})


def hidden(make, output=False):
    return lambda i: make() if i == 0 or (output and i == 2) else Adam(0.9, 0.99, 1e-8)


run("muon", {}, hidden(lambda: Muon(0.95)), 0.02, other=0.05)
run("muon", {"nesterov": 0, "momentum": 0.8, "output-layer": 1, "steps": 3, "weight-decay": 0.1, "lr": 0.03, "adam-lr": 0.01},
    hidden(lambda: Muon(0.8, nesterov=False, steps=3), True), 0.03, 0.1, 0.01 / 0.03)
run("muon", {"moonlight": 1, "polish": 4, "lr": 0.01}, hidden(lambda: Muon(0.95, scale="moonlight", polish=4)), 0.01)
run("normuon", {"lr": 0.01}, hidden(lambda: Muon(0.95, scale="neurons")), 0.01)
run("normuon", {"lr": 0.02, "beta2": 0.8, "output-layer": 1, "eps": 1e-8, "weight-decay": 0.05},
    hidden(lambda: Muon(0.95, scale="neurons", beta2=0.8), True), 0.02, 0.05)
run("soap", {}, lambda i: SOAP(0.95, 0.95, 0.95, 1e-8, 10, 1024), 0.003, 0.01)
run("soap", {"lr": 0.02, "beta1": 0.9, "beta2": 0.99, "factor-beta": 0.9, "eps": 1e-4, "every": 3, "weight-decay": 0},
    lambda i: SOAP(0.9, 0.99, 0.9, 1e-4, 3, 1024), 0.02)
run("soap", {"lr": 0.01, "max-dim": 3, "every": 1, "weight-decay": 0}, lambda i: SOAP(0.95, 0.95, 0.95, 1e-8, 1, 3), 0.01)
run("shampoo", {}, lambda i: Shampoo(0.9, 0.99, 1e-5, 4, 2, 0.99, 1e-8, 10, 1024), 0.003, 0.01)
run("shampoo", {"lr": 0.05, "beta1": 0.8, "beta2": 1, "ridge": 1e-3, "root": 2, "graft": 1, "every": 3, "weight-decay": 0},
    lambda i: Shampoo(0.8, 1, 1e-3, 2, 1, 0.99, 1e-8, 3, 1024), 0.05)
for newton in (0, 1):
    run("shampoo", {"lr": 0.01, "ridge": 1e-2, "block": 2, "every": 4, "newton": newton, "adam-beta2": 0.9},
        lambda i: Shampoo(0.9, 0.99, 1e-2, 4, 2, 0.9, 1e-8, 4, 2), 0.01, 0.01)

run("shampoo", {"lr": 0.01, "early": 2}, lambda i: Shampoo(0.9, 0.99, 1e-5, 4, 2, 0.99, 1e-8, 10, 1024, early=2), 0.01, 0.01)
run("caspr", {}, lambda i: Shampoo(0.9, 0.99, 1e-4, 4, 2, 0.99, 1e-8, 10, 1024, caspr=True), 0.003, 0.01)
run("caspr", {"lr": 0.01, "graft": 0, "beta2": 1, "ridge": 1e-2, "every": 2, "block": 3, "weight-decay": 0},
    lambda i: Shampoo(0.9, 1, 1e-2, 4, 0, 0.99, 1e-8, 2, 3, caspr=True), 0.01)
kron = lambda **o: lambda i: Kron(i, **o) if MATRIX[i] else Adam(o["beta"], 0.99, 1e-8)
run("psgd-kron", {}, kron(beta=0.9, rate=0.1), 0.001, 0.01)
run("psgd-kron", {"lr": 0.01, "momentum": 0.8, "precond-lr": 0.3, "flat": 10, "refresh": 0.2, "clip": 0.7, "seed": 5, "weight-decay": 0},
    kron(beta=0.8, rate=0.3, refresh=0.2, flat=10, clip=0.7, seed=5), 0.01)
run("psgd-kron", {"lr": 0.01, "max-dim": 3}, kron(beta=0.9, rate=0.1, max_dim=3), 0.01, 0.01)
splus = lambda **o: lambda i: SPlus(**o) if MATRIX[i] else Adam(o["b1"], 0.99, 1e-8)
run("splus", {"max-dim": 3}, splus(b1=0.9, b2=0.999, every=100, max_dim=3), 0.1, 0.01, 0.02)
run("splus", {"lr": 0.1, "adam-lr": 0.01, "beta1": 0.5, "factor-beta": 0.9, "every": 5, "max-dim": 3, "weight-decay": 0, "ema": 0},
    splus(b1=0.5, b2=0.9, every=5, max_dim=3), 0.1, 0, 0.1)
run("muon", {"minimax": 1}, hidden(lambda: Muon(0.95, coefficients=minimax(1e-3, 5))), 0.02, other=0.05)

out = {"steps": STEPS, "in": IN, "hidden": HIDDEN, "out": OUT, "x": X.ravel().tolist(), "y": Y.ravel().tolist(),
       "start": [float(v) for a in START for v in a.ravel()], "cases": CASES}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w") as f:
    json.dump(out, f, indent=None, separators=(",", ":"))
    f.write("\n")
