"""The recursion of Simulate in NumPy, vectorised over replicates, one core: the yardstick of the simulator's speed.

Usage: simulate_numpy.py N steps replicates   → seconds of CPU, mean and variance of the outputs at the four test points
The problem is benchmark A with gamma = 1 and one example a step.
"""
import os
for v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[v] = "1"
import sys
import time
import numpy as np

n, steps, reps = (int(v) for v in sys.argv[1:4])
rng = np.random.default_rng(1)
m, alpha = 8, 4.0
x = -1 + 2 * np.arange(m) / 7
y = np.sin(np.pi * x)
c = rng.uniform(-1, 1, (reps, n))
w = rng.standard_normal((reps, n))
b = rng.standard_normal((reps, n))
u, d = np.empty_like(c), np.empty_like(c)
start = time.process_time()
for k in range(steps):
    i = rng.integers(m, size=reps)
    xk = x[i][:, None]
    np.multiply(w, xk, out=u)
    u += b
    np.tanh(u, out=u)
    r = (alpha / n) * (y[i] - np.einsum("rn,rn->r", c, u) / n)[:, None]
    np.multiply(u, u, out=d)
    np.subtract(1, d, out=d)
    d *= c
    d *= r
    u *= r
    c += u
    b += d
    d *= xk
    w += d
seconds = time.process_time() - start
t = np.array([-0.6, 0.1, 0.5, 0.9])
g = np.stack([np.mean(c * np.tanh(w * v + b), axis=1) for v in t], axis=1)
print("seconds", seconds, "mean", g.mean(0), "n var", n * g.var(0, ddof=1))
