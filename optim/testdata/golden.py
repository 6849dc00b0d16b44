#!/usr/bin/python3
"""Golden trajectories of the first-order methods: writes golden.json beside this file.

Run with Debian's python3-torch 1.13 and python3-numpy:  /usr/bin/python3 golden.py

Every method that torch.optim has is run by torch, in float64. Those that it lacks are written out below in
plain NumPy from the equations of their papers, independently of the Go code. All train the same network with
one hidden layer of tanh on the same twelve examples for fifty full-batch steps:

    h = tanh(X W1 + b1),  y = h W2 + b2,  L = mean over rows and columns of (y - t)^2

with X 12x3, W1 3x4, W2 4x2. Weight decay acts on W1 and W2 only.
"""
import json
import math
import os

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
STEPS, ROWS = 50, 12
RECORD = [1, 2, 3, 10, 25, 50]
SHAPES = [(3, 4), (4,), (4, 2), (2,)]
IS_WEIGHT = [True, False, True, False]

X = np.array([[round(math.sin(1 + 2.3 * i + 1.7 * j), 6) for j in range(3)] for i in range(ROWS)])
Y = np.array([[round(math.cos(0.5 + 1.1 * i - 0.9 * j), 6) for j in range(2)] for i in range(ROWS)])
START = [np.array([round(0.7 * math.sin(3.1 * k + 0.4 * n + 1), 6) for k in range(int(np.prod(s)))]).reshape(s)
         for n, s in enumerate(SHAPES)]


def loss_grad(p):
    w1, b1, w2, b2 = p
    h = np.tanh(X @ w1 + b1)
    e = h @ w2 + b2 - Y
    loss = float(np.mean(e * e))
    dy = 2 * e / e.size
    dz = (dy @ w2.T) * (1 - h * h)
    return loss, [X.T @ dz, dz.sum(0), h.T @ dy, dy.sum(0)]


def flat(p):
    return [float(v) for a in p for v in np.asarray(a).ravel()]


CASES = []


def record(method, settings, trajectory, losses, schedules=None, evals=None):
    case = {"method": method, "settings": settings, "params": trajectory, "losses": losses}
    if schedules:
        case["schedules"] = schedules
    if evals:
        case["eval"] = evals
    CASES.append(case)


def run_torch(method, settings, make, decay=0.0, schedule=None, schedules=None, before=None):
    p = [torch.tensor(a.copy(), requires_grad=True) for a in START]
    groups = [{"params": [q], "weight_decay": decay if w else 0.0} for q, w in zip(p, IS_WEIGHT)]
    opt = make(groups)
    base = [g["lr"] for g in opt.param_groups]
    if decay:
        settings = dict(settings, **{"weight-decay": decay})
    traj, losses = {}, []
    for t in range(STEPS):
        loss, g = loss_grad([q.detach().numpy() for q in p])
        losses.append(loss)
        for q, a in zip(p, g):
            q.grad = torch.tensor(a)
        if before:
            before(p)
        if schedule:
            for grp, b in zip(opt.param_groups, base):
                grp["lr"] = b * schedule(t)
        opt.step()
        if t + 1 in RECORD:
            traj[str(t + 1)] = flat([q.detach().numpy() for q in p])
    record(method, settings, traj, losses, schedules)


def run_numpy(method, settings, step, schedules=None):
    """step is a generator function: it is sent nothing, yields after each update, given p (list of arrays, in
    place) and a function grad() -> (loss, list)."""
    p = [a.copy() for a in START]
    losses, traj, evals = [], {}, {}
    it = step(p, losses)
    for t in range(1, STEPS + 1):
        ev = next(it)
        if t in RECORD:
            traj[str(t)] = flat(p)
            if ev is not None:
                evals[str(t)] = flat(ev)
    record(method, settings, traj, losses, schedules, evals)


# ---- methods of torch.optim -------------------------------------------------------------------------------
O = torch.optim
run_torch("sgd", {"lr": 0.1}, lambda g: O.SGD(g, lr=0.1))
run_torch("sgd", {"lr": 0.3}, lambda g: O.SGD(g, lr=0.3), decay=0.01)
run_torch("sgd", {"lr": 0.3}, lambda g: O.SGD(g, lr=0.3), schedules={"lr": "cosine"},
          schedule=lambda t: (1 + math.cos(math.pi * t / STEPS)) / 2)
run_torch("sgd", {"lr": 0.3}, lambda g: O.SGD(g, lr=0.3), schedules={"lr": "step:0.3@0.5,0.75"},
          schedule=lambda t: 0.3 ** ((t >= 25) + (t >= 37.5)))
run_torch("sgd", {"lr": 0.3, "clip-value": 0.02}, lambda g: O.SGD(g, lr=0.3),
          before=lambda p: torch.nn.utils.clip_grad_value_(p, 0.02))
run_torch("momentum", {"lr": 0.05, "momentum": 0.9}, lambda g: O.SGD(g, lr=0.05, momentum=0.9))
run_torch("momentum", {"lr": 0.1, "momentum": 0.8, "dampening": 0.5}, lambda g: O.SGD(g, lr=0.1, momentum=0.8, dampening=0.5), decay=0.02)
run_torch("nesterov", {"lr": 0.05, "momentum": 0.9}, lambda g: O.SGD(g, lr=0.05, momentum=0.9, nesterov=True))
run_torch("nesterov", {"lr": 0.1, "momentum": 0.7}, lambda g: O.SGD(g, lr=0.1, momentum=0.7, nesterov=True), decay=0.02)
run_torch("adagrad", {"lr": 0.1}, lambda g: O.Adagrad(g, lr=0.1))
run_torch("adagrad", {"lr": 0.05, "lr-decay": 0.01, "initial": 0.1, "eps": 1e-8},
          lambda g: O.Adagrad(g, lr=0.05, lr_decay=0.01, initial_accumulator_value=0.1, eps=1e-8), decay=0.03)
run_torch("adadelta", {"lr": 1.0}, lambda g: O.Adadelta(g, lr=1.0))
run_torch("adadelta", {"lr": 0.5, "rho": 0.95, "eps": 1e-4}, lambda g: O.Adadelta(g, lr=0.5, rho=0.95, eps=1e-4), decay=0.02)
run_torch("rmsprop", {"lr": 0.01}, lambda g: O.RMSprop(g, lr=0.01))
run_torch("rmsprop", {"lr": 0.01, "centered": 1}, lambda g: O.RMSprop(g, lr=0.01, centered=True))
run_torch("rmsprop", {"lr": 0.005, "alpha": 0.9, "eps": 1e-6, "momentum": 0.9, "centered": 1},
          lambda g: O.RMSprop(g, lr=0.005, alpha=0.9, eps=1e-6, momentum=0.9, centered=True), decay=0.02)
for name, ams in (("adam", False), ("amsgrad", True)):
    run_torch(name, {"lr": 0.01}, lambda g: O.Adam(g, lr=0.01, amsgrad=ams))
    run_torch(name, {"lr": 0.05, "beta1": 0.8, "beta2": 0.99, "eps": 1e-4},
              lambda g: O.Adam(g, lr=0.05, betas=(0.8, 0.99), eps=1e-4, amsgrad=ams), decay=0.05)
    # a moment that falls, so that the maximum is felt
    run_torch(name, {"lr": 0.05, "beta1": 0.5, "beta2": 0.7}, lambda g: O.Adam(g, lr=0.05, betas=(0.5, 0.7), amsgrad=ams))
run_torch("adamw", {"lr": 0.01, "weight-decay": 0.0}, lambda g: O.AdamW(g, lr=0.01))
run_torch("adamw", {"lr": 0.02}, lambda g: O.AdamW(g, lr=0.02), decay=0.1)
run_torch("adamw", {"lr": 0.05, "beta1": 0.8, "beta2": 0.99, "eps": 1e-4},
          lambda g: O.AdamW(g, lr=0.05, betas=(0.8, 0.99), eps=1e-4), decay=0.5, schedules={"lr": "linear:0.1"},
          schedule=lambda t: 1 - 0.9 * t / STEPS)
run_torch("adamax", {"lr": 0.02}, lambda g: O.Adamax(g, lr=0.02))
run_torch("adamax", {"lr": 0.02, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3}, lambda g: O.Adamax(g, lr=0.02, betas=(0.8, 0.9), eps=1e-3), decay=0.05)
# torch 1.13's plain loop multiplies mu_t into the product twice for the next step, against its own documentation;
# its foreach form is as documented (and as later versions).
run_torch("nadam", {"lr": 0.01}, lambda g: O.NAdam(g, lr=0.01, foreach=True))
run_torch("nadam", {"lr": 0.02, "beta1": 0.8, "beta2": 0.99, "momentum-decay": 0.02},
          lambda g: O.NAdam(g, lr=0.02, betas=(0.8, 0.99), momentum_decay=0.02, foreach=True), decay=0.05)
run_torch("radam", {"lr": 0.01}, lambda g: O.RAdam(g, lr=0.01))
run_torch("radam", {"lr": 0.05, "beta1": 0.8, "beta2": 0.9, "eps": 1e-4}, lambda g: O.RAdam(g, lr=0.05, betas=(0.8, 0.9), eps=1e-4), decay=0.05)


# ---- methods that torch.optim 1.13 lacks, from their equations ------------------------------------------------
def grad(p, losses):
    loss, g = loss_grad(p)
    losses.append(loss)
    return g


def lion(lr, b1, b2, wd):
    def step(p, losses):
        m = [np.zeros_like(a) for a in p]
        while True:
            for a, g, m_, w in zip(p, grad(p, losses), m, IS_WEIGHT):
                c = np.sign(b1 * m_ + (1 - b1) * g)
                a -= lr * (c + (wd * a if w else 0))
                m_[...] = b2 * m_ + (1 - b2) * g
            yield
    return step


run_numpy("lion", {"lr": 0.003}, lion(0.003, 0.9, 0.99, 0))
run_numpy("lion", {"lr": 0.01, "beta1": 0.8, "beta2": 0.95, "weight-decay": 0.3}, lion(0.01, 0.8, 0.95, 0.3))


def lars(lr, mu, eta, wd):
    def step(p, losses):
        buf = [np.zeros_like(a) for a in p]
        while True:
            for a, g, b, w in zip(p, grad(p, losses), buf, IS_WEIGHT):
                if w:
                    n = np.linalg.norm(a)
                    g = eta * n / (np.linalg.norm(g) + wd * n) * (g + wd * a)
                else:
                    g = eta * g
                b[...] = mu * b + lr * g
                a -= b
            yield
    return step


run_numpy("lars", {"lr": 0.1, "trust": 0.1}, lars(0.1, 0.9, 0.1, 0))
run_numpy("lars", {"lr": 0.2, "trust": 0.05, "momentum": 0.8, "weight-decay": 0.02}, lars(0.2, 0.8, 0.05, 0.02))


def lamb(lr, b1, b2, eps, wd):
    def step(p, losses):
        m = [np.zeros_like(a) for a in p]
        v = [np.zeros_like(a) for a in p]
        t = 0
        while True:
            t += 1
            for a, g, m_, v_, w in zip(p, grad(p, losses), m, v, IS_WEIGHT):
                m_[...] = b1 * m_ + (1 - b1) * g
                v_[...] = b2 * v_ + (1 - b2) * g * g
                u = m_ / (1 - b1 ** t) / (np.sqrt(v_ / (1 - b2 ** t)) + eps)
                r = 1.0
                if w:
                    u = u + wd * a
                    r = np.linalg.norm(a) / np.linalg.norm(u)
                a -= lr * r * u
            yield
    return step


run_numpy("lamb", {"lr": 0.01, "weight-decay": 0}, lamb(0.01, 0.9, 0.999, 1e-6, 0))
run_numpy("lamb", {"lr": 0.03, "beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight-decay": 0.1}, lamb(0.03, 0.8, 0.99, 1e-3, 0.1))


def adafactor(lr, q, eps1, eps2, d, wd):
    rms = lambda a: math.sqrt(np.mean(a * a))

    def step(p, losses):
        state = [None] * len(p)
        t = 0
        while True:
            t += 1
            beta = 1 - t ** -q
            rho = min(lr, 1 / math.sqrt(t))
            for i, (a, g) in enumerate(zip(p, grad(p, losses))):
                sq = g * g + eps1
                if a.ndim == 2:
                    if state[i] is None:
                        state[i] = [np.zeros(a.shape[0]), np.zeros(a.shape[1])]
                    r, c = state[i]
                    r[...] = beta * r + (1 - beta) * sq.sum(1)
                    c[...] = beta * c + (1 - beta) * sq.sum(0)
                    v = np.outer(r, c) / r.sum()
                else:
                    if state[i] is None:
                        state[i] = np.zeros_like(a)
                    v = state[i]
                    v[...] = beta * v + (1 - beta) * sq
                u = g / np.sqrt(v)
                u = u / max(1, rms(u) / d)
                a -= rho * (max(eps2, rms(a)) * u + (wd * a if IS_WEIGHT[i] else 0))
            yield
    return step


run_numpy("adafactor", {"lr": 0.01}, adafactor(0.01, 0.8, 1e-30, 1e-3, 1.0, 0))
run_numpy("adafactor", {"lr": 0.5, "decay-power": 0.6, "eps1": 1e-5, "eps2": 0.4, "clip": 0.7, "weight-decay": 0.1},
          adafactor(0.5, 0.6, 1e-5, 0.4, 0.7, 0.1))


def adopt(lr, b1, b2, eps, wd):
    def step(p, losses):
        m = [np.zeros_like(a) for a in p]
        g = grad(p, losses)
        v = [x * x for x in g]
        for a, w in zip(p, IS_WEIGHT):
            a -= lr * (wd * a if w else 0)
        yield
        k = 0
        while True:
            k += 1
            for a, x, m_, v_, w in zip(p, grad(p, losses), m, v, IS_WEIGHT):
                c = np.clip(x / np.maximum(np.sqrt(v_), eps), -k ** 0.25, k ** 0.25)
                m_[...] = b1 * m_ + (1 - b1) * c
                a -= lr * (m_ + (wd * a if w else 0))
                v_[...] = b2 * v_ + (1 - b2) * x * x
            yield
    return step


run_numpy("adopt", {"lr": 0.01}, adopt(0.01, 0.9, 0.9999, 1e-6, 0))
run_numpy("adopt", {"lr": 0.03, "beta1": 0.8, "beta2": 0.9, "eps": 0.05, "weight-decay": 0.1}, adopt(0.03, 0.8, 0.9, 0.05, 0.1))


def ademamix(lr, b1, b2, b3, alpha, ramp, eps, wd):
    def step(p, losses):
        m = [np.zeros_like(a) for a in p]
        n = [np.zeros_like(a) for a in p]
        v = [np.zeros_like(a) for a in p]
        t = 0
        while True:
            t += 1
            a_t, b_t = alpha, b3
            if ramp > 0 and t < ramp * STEPS:
                x = t / (ramp * STEPS)
                a_t = alpha * x
                b_t = min(b3, math.exp(math.log(b1) * math.log(b3) / ((1 - x) * math.log(b3) + x * math.log(b1))))
            for a, g, m_, n_, v_, w in zip(p, grad(p, losses), m, n, v, IS_WEIGHT):
                m_[...] = b1 * m_ + (1 - b1) * g
                n_[...] = b_t * n_ + (1 - b_t) * g
                v_[...] = b2 * v_ + (1 - b2) * g * g
                u = (m_ / (1 - b1 ** t) + a_t * n_) / (np.sqrt(v_ / (1 - b2 ** t)) + eps)
                a -= lr * (u + (wd * a if w else 0))
            yield
    return step


run_numpy("ademamix", {"lr": 0.01, "beta3": 0.9999}, ademamix(0.01, 0.9, 0.999, 0.9999, 5, 1, 1e-8, 0))
run_numpy("ademamix", {"lr": 0.02, "beta3": 0.99, "alpha": 2, "ramp": 0.4, "eps": 1e-4, "weight-decay": 0.1},
          ademamix(0.02, 0.9, 0.999, 0.99, 2, 0.4, 1e-4, 0.1))
run_numpy("ademamix", {"lr": 0.01, "beta3": 0.9999, "ramp": 0}, ademamix(0.01, 0.9, 0.999, 0.9999, 5, 0, 1e-8, 0))


def prodigy(lr, b1, b2, eps, d0, wd):
    def step(p, losses):
        m = [np.zeros_like(a) for a in p]
        v = [np.zeros_like(a) for a in p]
        s = [np.zeros_like(a) for a in p]
        p0 = [a.copy() for a in p]
        d, r, sb = d0, 0.0, math.sqrt(b2)
        while True:
            g = grad(p, losses)
            r = sb * r + (1 - sb) * lr * d * d * sum(float(np.sum(x * (z - a))) for x, z, a in zip(g, p0, p))
            for a, x, m_, v_, s_, w in zip(p, g, m, v, s, IS_WEIGHT):
                s_[...] = sb * s_ + (1 - sb) * lr * d * d * x
                m_[...] = b1 * m_ + (1 - b1) * d * x
                v_[...] = b2 * v_ + (1 - b2) * d * d * x * x
                a -= lr * d * (m_ / (np.sqrt(v_) + d * eps) + (wd * a if w else 0))
            d = max(d, r / sum(float(np.abs(s_).sum()) for s_ in s))
            yield
    return step


run_numpy("prodigy", {}, prodigy(1.0, 0.9, 0.999, 1e-8, 1e-6, 0))
run_numpy("prodigy", {"lr": 0.5, "beta2": 0.99, "d0": 1e-3, "eps": 1e-4, "weight-decay": 0.1}, prodigy(0.5, 0.9, 0.99, 1e-4, 1e-3, 0.1))


def schedule_free(lr, beta, wd, b2=None, eps=1e-8, factor=lambda t: 1.0):
    def step(y, losses):
        z = [a.copy() for a in y]
        x = [a.copy() for a in y]
        v = [np.zeros_like(a) for a in y]
        t, total = 0, 0.0
        while True:
            g = grad(y, losses)
            rate = lr * factor(t)
            t += 1
            total += rate ** 2
            c = rate ** 2 / total
            for i, (a, u, w) in enumerate(zip(y, g, IS_WEIGHT)):
                if b2 is not None:
                    v[i] = b2 * v[i] + (1 - b2) * u * u
                    u = u / (np.sqrt(v[i] / (1 - b2 ** t)) + eps)
                z[i] = z[i] - rate * (u + (wd * a if w else 0))
                x[i] = (1 - c) * x[i] + c * z[i]
                a[...] = (1 - beta) * z[i] + beta * x[i]
            yield x
    return step


run_numpy("schedule-free-sgd", {"lr": 0.3}, schedule_free(0.3, 0.9, 0))
run_numpy("schedule-free-sgd", {"lr": 0.5, "momentum": 0.7, "weight-decay": 0.05}, schedule_free(0.5, 0.7, 0.05))
run_numpy("schedule-free-adamw", {"lr": 0.02}, schedule_free(0.02, 0.9, 0, b2=0.999))
run_numpy("schedule-free-adamw", {"lr": 0.05, "beta1": 0.8, "beta2": 0.99, "eps": 1e-4, "weight-decay": 0.1},
          schedule_free(0.05, 0.8, 0.1, b2=0.99, eps=1e-4, factor=lambda t: min(1.0, (t + 1) / 10)), {"lr": "warmup:0.2"})


def sam(lr, mu, rho, wd):
    def step(p, losses):
        b = [np.zeros_like(a) for a in p]
        while True:
            g = grad(p, losses)
            n = math.sqrt(sum(float(np.sum(x * x)) for x in g))
            _, g = loss_grad([a + rho * x / n for a, x in zip(p, g)])
            for a, x, b_, w in zip(p, g, b, IS_WEIGHT):
                b_[...] = mu * b_ + x + (wd * a if w else 0)
                a -= lr * b_
            yield
    return step


run_numpy("sam", {}, sam(0.02, 0.9, 0.05, 0))
run_numpy("sam", {"lr": 0.1, "momentum": 0.5, "rho": 0.3, "weight-decay": 0.05}, sam(0.1, 0.5, 0.3, 0.05))


def heavy_ball(p, losses, lr, mu, buf):
    for a, g, b in zip(p, grad(p, losses), buf):
        b[...] = mu * b + g
        a -= lr * b


def swa(lr, mu, start):
    def step(p, losses):
        buf = [np.zeros_like(a) for a in p]
        n, avg = 0, None
        t = 0
        while True:
            heavy_ball(p, losses, lr, mu, buf)
            t += 1
            if t > start * STEPS:
                n += 1
                avg = [a.copy() for a in p] if avg is None else [x + (a - x) / n for x, a in zip(avg, p)]
            yield p if avg is None else avg
    return step


run_numpy("swa", {"lr": 0.1, "start": 0.5, "passes": 0}, swa(0.1, 0.9, 0.5))


def ema(lr, mu, decay):
    def step(p, losses):
        buf = [np.zeros_like(a) for a in p]
        avg = [np.zeros_like(a) for a in p]
        t = 0
        while True:
            heavy_ball(p, losses, lr, mu, buf)
            t += 1
            avg = [decay * x + (1 - decay) * a for x, a in zip(avg, p)]
            yield [x / (1 - decay ** t) for x in avg]
    return step


run_numpy("momentum", {"lr": 0.1, "ema": 0.95}, ema(0.1, 0.9, 0.95))


def lookahead(k, alpha, lr, b1, b2, eps, wd):
    def step(p, losses):
        m = [np.zeros_like(a) for a in p]
        v = [np.zeros_like(a) for a in p]
        slow = [a.copy() for a in p]
        t = 0
        while True:
            t += 1
            for a, g, m_, v_, w in zip(p, grad(p, losses), m, v, IS_WEIGHT):
                m_[...] = b1 * m_ + (1 - b1) * g
                v_[...] = b2 * v_ + (1 - b2) * g * g
                a -= lr * (m_ / (1 - b1 ** t) / (np.sqrt(v_ / (1 - b2 ** t)) + eps) + (wd * a if w else 0))
            if t % k == 0:
                for a, s in zip(p, slow):
                    s += alpha * (a - s)
                    a[...] = s
            yield slow
    return step


run_numpy("lookahead", {"lr": 0.02}, lookahead(5, 0.5, 0.02, 0.9, 0.999, 1e-8, 0.01))
run_numpy("lookahead", {"lr": 0.05, "k": 3, "alpha": 0.8, "weight-decay": 0.1}, lookahead(3, 0.8, 0.05, 0.9, 0.999, 1e-8, 0.1))


def clipped(lr, kind, c):
    def step(p, losses):
        while True:
            g = grad(p, losses)
            if kind == "norm":
                n = math.sqrt(sum(float(np.sum(x * x)) for x in g))
                g = [x * min(1, c / n) for x in g]
            elif kind == "tensor":
                g = [x * min(1, c / np.linalg.norm(x)) for x in g]
            else:
                def unit(x, a):
                    axis = 0 if a.ndim == 2 else None
                    nx = np.sqrt(np.sum(x * x, axis=axis, keepdims=True))
                    na = np.maximum(np.sqrt(np.sum(a * a, axis=axis, keepdims=True)), 1e-3)
                    return x * np.minimum(1, c * na / nx)
                g = [unit(x, a) for x, a in zip(g, p)]
            for a, x in zip(p, g):
                a -= lr * x
            yield
    return step


run_numpy("sgd", {"lr": 0.3, "clip-norm": 0.1}, clipped(0.3, "norm", 0.1))
run_numpy("sgd", {"lr": 0.3, "clip-tensor-norm": 0.05}, clipped(0.3, "tensor", 0.05))
run_numpy("sgd", {"lr": 0.3, "clip-adaptive": 0.05}, clipped(0.3, "unit", 0.05))

out = {
    "made_by": "golden.py with torch %s, numpy %s" % (torch.__version__, np.__version__),
    "steps": STEPS, "x": flat([X]), "y": flat([Y]), "start": flat(START), "cases": CASES,
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w") as f:
    json.dump(out, f, separators=(",", ":"))
    f.write("\n")
print(len(CASES), "cases,", sorted({c["method"] for c in CASES}))
