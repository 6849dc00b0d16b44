"""The matrix products of BenchmarkGemm through numpy (OpenBLAS).

    OPENBLAS_NUM_THREADS=1 python3 openblas.py [seconds for each]

Prints GFLOP/s for the shapes and transposes that bench_test.go has, under the same names, by the same
clock: floating-point operations over the processor time of all repetitions. bench/peers/gemm.py runs both in turn.
"""

import sys
import time

import numpy as np

SHAPES = [
    ("NN", 512, 512, 512), ("NN", 1024, 1024, 1024), ("NN", 2048, 2048, 2048),
    ("NT", 512, 512, 512), ("TN", 512, 512, 512), ("TT", 512, 512, 512),
    ("NN", 256, 512, 784), ("NN", 256, 10, 512), ("TN", 784, 512, 256), ("NT", 256, 512, 512), ("NT", 256, 512, 10), ("TN", 512, 10, 256),
    ("NN", 32, 512, 784), ("NT", 32, 512, 512), ("TN", 784, 512, 32),
    ("NN", 97, 57, 131), ("NN", 1, 512, 512),
    ("NN", 100352, 64, 75), ("NN", 18432, 96, 576), ("NN", 100352, 6, 25),
    ("TN", 75, 64, 100352), ("TN", 25, 6, 100352), ("NT", 100352, 75, 64),
]


def rate(form, m, n, k, dtype, seconds):
    a = np.random.rand(*((k, m) if form[0] == "T" else (m, k))).astype(dtype)
    b = np.random.rand(*((n, k) if form[1] == "T" else (k, n))).astype(dtype)
    c = np.empty((m, n), dtype)
    x = a.T if form[0] == "T" else a
    y = b.T if form[1] == "T" else b
    np.matmul(x, y, out=c)
    done, spent = 0, 0.0
    while spent < seconds:
        t = time.process_time()
        np.matmul(x, y, out=c)
        reps = max(1, int(seconds / 10 / max(1e-6, time.process_time() - t)))
        t = time.process_time()
        for _ in range(reps):
            np.matmul(x, y, out=c)
        spent += time.process_time() - t
        done += reps
    return 2.0 * m * n * k * done / spent / 1e9


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.3
    for name, dtype in (("f32", np.float32), ("f64", np.float64)):
        for form, m, n, k in SHAPES:
            print("Gemm/%s/%s/%dx%dx%d %.1f GFLOP/s" % (name, form, m, n, k, rate(form, m, n, k, dtype, seconds)), flush=True)
