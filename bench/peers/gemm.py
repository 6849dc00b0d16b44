#!/usr/bin/env python3
"""Matrix products of descent and of OpenBLAS (through numpy), one core, in one run.

    python3 bench/peers/gemm.py [--rounds 5]

Both programs run in turn, several rounds; the medians of the processor-time rates, in GFLOP/s, and their ratio are printed,
beside the peak that a loop of fused multiply-adds on registers reaches here.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PEER = os.path.join(ROOT, "internal", "simd", "testdata", "openblas.py")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.1, help="for each product and round")
    a = p.parse_args()
    ours, theirs = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        test = os.path.join(folder, "simd.test")
        subprocess.run(["go", "test", "-c", "-o", test, "./internal/simd"], check=True, cwd=ROOT)
        one = dict(os.environ, OPENBLAS_NUM_THREADS="1", GOMAXPROCS="1")
        for _ in range(a.rounds):
            out = subprocess.run([test, "-test.run", "^$", "-test.bench", "^Benchmark(Gemm|Peak)$", "-test.benchtime", f"{a.seconds}s"],
                                 check=True, capture_output=True, text=True, env=one, cwd=os.path.join(ROOT, "internal", "simd")).stdout
            for name, rate in re.findall(r"^Benchmark(\S+?)(?:-\d+)?\s+\d+\s.*?([\d.]+) GFLOP/s", out, re.M):
                ours.setdefault(name, []).append(float(rate))
            out = subprocess.run([sys.executable, PEER, str(a.seconds)], check=True, capture_output=True, text=True, env=one).stdout
            for name, rate in re.findall(r"^(\S+) ([\d.]+) GFLOP/s", out, re.M):
                theirs.setdefault(name, []).append(float(rate))
    for name, rates in ours.items():
        if name in theirs:
            m, t = statistics.median(rates), statistics.median(theirs[name])
            print(f"{name:36s} descent {m:6.1f}  OpenBLAS {t:6.1f}  ratio {m / t:.2f}")
        else:
            print(f"{name:36s} {statistics.median(rates):6.1f}")


if __name__ == "__main__":
    main()
