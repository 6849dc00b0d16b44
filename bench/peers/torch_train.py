#!/usr/bin/env python3
"""Training steps a second of PyTorch on the models that descent's speed is measured on.

    python3 torch_train.py --model lenet5 --batch 128 --threads 1 --steps 50

Random data in memory, Adam, cross-entropy, float32.  Warm-up steps are not counted.  Prints one JSON
object: steps per second by the wall clock, CPU seconds per step (all threads) and peak resident memory.

How many threads serve best depends on the model: --threads sets torch's own (OpenMP) threads, --blas those
of OpenBLAS.  --sweep runs the combinations, each in its own process, and prints one line for each with the best one
last.  The models are

    mlp      784-512-512-10, ReLU
    lenet5   28x28x1: conv 5x5x6 same, max 2, conv 5x5x16, max 2, dense 120, 84, 10, ReLU
    3c3d     32x32x3 (DeepOBS): conv 5x5x64, max 3/2 same, conv 3x3x96, max 3/2 same, conv 3x3x128 same,
             max 3/2 same, dense 512, 256, 10, ReLU
"""
import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time

BATCH = {"mlp": 256, "lenet5": 128, "3c3d": 128}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", choices=sorted(BATCH), default="mlp")
    p.add_argument("--batch", type=int, default=0, help="examples a step (default: the model's)")
    p.add_argument("--threads", type=int, default=1, help="torch threads")
    p.add_argument("--blas", type=int, default=0, help="OpenBLAS threads (default: as many as torch's)")
    p.add_argument("--steps", type=int, default=50)
    p.add_argument("--warmup", type=int, default=5)
    p.add_argument("--method", choices=["adam", "sgd"], default="adam")
    p.add_argument("--channels-last", action="store_true", help="images in memory as NHWC")
    p.add_argument("--forward", action="store_true", help="time forward passes alone")
    p.add_argument("--sweep", action="store_true", help="run the combinations of threads and layouts")
    a = p.parse_args()
    a.batch = a.batch or BATCH[a.model]
    a.blas = a.blas or a.threads
    return a


def build(torch, name):
    nn = torch.nn
    relu = nn.ReLU
    if name == "mlp":
        return nn.Sequential(nn.Linear(784, 512), relu(), nn.Linear(512, 512), relu(), nn.Linear(512, 10)), (784,)
    if name == "lenet5":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), relu(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), relu(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), relu(), nn.Linear(120, 84), relu(), nn.Linear(84, 10)), (1, 28, 28)
    # On these even sizes "same" pooling pads at the bottom and right alone, which is ceil_mode.
    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.Sequential(
        nn.Conv2d(3, 64, 5), relu(), pool(), nn.Conv2d(64, 96, 3), relu(), pool(),
        nn.Conv2d(96, 128, 3, padding=1), relu(), pool(), nn.Flatten(),
        nn.Linear(1152, 512), relu(), nn.Linear(512, 256), relu(), nn.Linear(256, 10)), (3, 32, 32)


def measure(a):
    os.environ["OPENBLAS_NUM_THREADS"] = str(a.blas)
    os.environ["OMP_NUM_THREADS"] = str(a.threads)
    import torch

    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    model, shape = build(torch, a.model)
    x = torch.randn(a.batch, *shape)
    if a.channels_last and len(shape) == 3:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (a.batch,))
    loss = torch.nn.CrossEntropyLoss()
    method = (torch.optim.Adam if a.method == "adam" else torch.optim.SGD)(model.parameters(), lr=1e-4)

    def step():
        if a.forward:
            with torch.no_grad():
                loss(model(x), labels)
            return
        method.zero_grad(set_to_none=True)
        loss(model(x), labels).backward()
        method.step()

    for _ in range(a.warmup):
        step()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(a.steps):
        step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "torch": torch.__version__, "model": a.model, "batch": a.batch, "method": a.method,
        "threads": a.threads, "blas": a.blas, "channels_last": a.channels_last, "forward": a.forward, "steps": a.steps,
        "steps_per_second": round(a.steps / wall, 2), "cpu_seconds_per_step": round(cpu / a.steps, 6),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def sweep(a):
    best = None
    n = os.cpu_count()
    layouts = [False, True] if a.model != "mlp" else [False]
    for threads, blas, last in itertools.product(sorted({1, n}), sorted({1, n}), layouts):
        command = [sys.executable, __file__, "--model", a.model, "--batch", str(a.batch), "--threads", str(threads),
                   "--blas", str(blas), "--steps", str(a.steps), "--warmup", str(a.warmup), "--method", a.method]
        command += ["--channels-last"] * last + ["--forward"] * a.forward
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(json.dumps(result), flush=True)
        if best is None or result["steps_per_second"] > best["steps_per_second"]:
            best = result
    print(json.dumps({"best": best}))


if __name__ == "__main__":
    arguments_ = arguments()
    if arguments_.sweep:
        sweep(arguments_)
    else:
        print(json.dumps(measure(arguments_)))
