#!/usr/bin/python3
"""Time of one update of 669,706 float32 parameters (784-512-512-10) by torch.optim on one thread: the peer of
BenchmarkStep in bench_test.go. Prints the median of process CPU time, the plain loop and the foreach form.

Run both on an idle machine, one after the other:
    /usr/bin/python3 optim/testdata/bench_torch.py
    go test ./optim -run '^$' -bench 'Step/^(momentum|adam|adamw)$' -benchtime 100x -count 5 -cpu 1
"""
import statistics
import time

import torch

torch.set_num_threads(1)
SHAPES = [(784, 512), (512,), (512, 512), (512,), (512, 10), (10,)]
METHODS = {
    "momentum": lambda p, foreach: torch.optim.SGD(p, lr=1e-6, momentum=0.9, foreach=foreach),
    "adam": lambda p, foreach: torch.optim.Adam(p, lr=1e-6, foreach=foreach),
    "adamw": lambda p, foreach: torch.optim.AdamW(p, lr=1e-6, foreach=foreach),
}


def median(make, foreach, steps=100):
    params = [(torch.randn(s) * 0.05).requires_grad_() for s in SHAPES]
    for p in params:
        p.grad = torch.randn(p.shape) * 0.01
    opt = make(params, foreach)
    for _ in range(10):
        opt.step()
    times = []
    for _ in range(steps):
        t = time.process_time()
        opt.step()
        times.append(time.process_time() - t)
    return statistics.median(times)


for name, make in METHODS.items():
    plain, foreach = median(make, False), median(make, True)
    print("%-9s %.3f ms plain, %.3f ms foreach: %.0f steps/s" % (name, plain * 1e3, foreach * 1e3, 1 / min(plain, foreach)))
