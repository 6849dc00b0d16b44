#!/usr/bin/env python3
"""Training steps of descent against PyTorch at its best setting, in one run.

    python3 bench/peers/pair.py [--rounds 5]

For each workload the setting of PyTorch's threads and memory layout that is fastest here is found first. Then both
programs run in turn, several rounds; medians and the ratio of medians are printed, as a table and as JSON.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TORCH = os.path.join(HERE, "torch_train.py")
WORKLOADS = [("mlp", 256, 150), ("mlp", 32, 400), ("lenet5", 128, 60), ("3c3d", 128, 12)]


def output(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--only", default="", help="one model")
    a = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        speed = os.path.join(folder, "speed")
        subprocess.run(["go", "build", "-o", speed, "./bench/speed"], check=True, cwd=os.path.join(HERE, "..", ".."))
        for model, batch, steps in WORKLOADS:
            if a.only and a.only != model:
                continue
            sweep = output([sys.executable, TORCH, "--sweep", "--model", model, "--batch", str(batch), "--steps", str(max(5, steps // 3))])
            best = json.loads(sweep[-1])["best"]
            peer = [sys.executable, TORCH, "--model", model, "--batch", str(batch), "--steps", str(steps),
                    "--threads", str(best["threads"]), "--blas", str(best["blas"])] + ["--channels-last"] * best["channels_last"]
            ours = [speed, "-model", model, "-batch", str(batch), "-steps", str(steps)]
            theirs_runs, our_runs = [], []
            for _ in range(a.rounds):
                theirs_runs.append(json.loads(output(peer)[-1]))
                our_runs.append(json.loads(output(ours)[-1]))
            median = lambda runs, key: statistics.median(r[key] for r in runs)
            row = {
                "model": model, "batch": batch,
                "descent_steps_per_second": round(median(our_runs, "steps_per_second"), 1),
                "torch_steps_per_second": round(median(theirs_runs, "steps_per_second"), 1),
                "ratio": round(median(our_runs, "steps_per_second") / median(theirs_runs, "steps_per_second"), 2),
                "cpu_ratio": round(median(theirs_runs, "cpu_seconds_per_step") / median(our_runs, "cpu_seconds_per_step"), 2),
                "backward_over_forward": round(median(our_runs, "backward_seconds") / median(our_runs, "forward_seconds"), 2),
                "descent_mib": round(median(our_runs, "peak_memory_bytes") / 2**20, 1),
                "torch_mib": round(median(theirs_runs, "peak_rss_mib"), 1),
                "heap_bytes_per_step": round(median(our_runs, "heap_bytes_per_step")),
                "torch_setting": {k: best[k] for k in ("threads", "blas", "channels_last")},
            }
            rows.append(row)
            print("%-7s batch %-4d descent %8.1f  torch %8.1f steps/s  ratio %.2f (cpu %.2f)  bwd/fwd %.2f  memory %.0f / %.0f MiB" % (
                model, batch, row["descent_steps_per_second"], row["torch_steps_per_second"], row["ratio"], row["cpu_ratio"],
                row["backward_over_forward"], row["descent_mib"], row["torch_mib"]), flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
