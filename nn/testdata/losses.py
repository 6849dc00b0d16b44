"""Golden values of the losses and their gradients, from PyTorch in double precision.

    python3 losses.py > losses.json

The loss of package nn is the mean over the examples of a sum over the outputs; each case says how it is
put together from torch's.
"""

import json
import torch
import torch.nn.functional as F

torch.manual_seed(5)
n, k = 7, 4
z0 = torch.randn(n, k, dtype=torch.float64) * 2
labels = torch.randint(0, k, (n,))
values = torch.randn(n, k, dtype=torch.float64)
unit = torch.rand(n, k, dtype=torch.float64)
counts = torch.randint(0, 6, (n, k)).double()

cases = []


def case(name, target, f):
    z = z0.clone().requires_grad_()
    loss = f(z)
    loss.backward()
    cases.append({"loss": name, "target": target.double().flatten().tolist(), "value": loss.item(), "gradient": z.grad.flatten().tolist()})


case("cross-entropy", labels, lambda z: F.cross_entropy(z, labels))
case("cross-entropy:0.1", labels, lambda z: F.cross_entropy(z, labels, label_smoothing=0.1))
case("squared", values, lambda z: F.mse_loss(z, values) * k / 2)
case("bernoulli", unit, lambda z: F.binary_cross_entropy_with_logits(z, unit, reduction="sum") / n)
case("poisson", counts, lambda z: F.poisson_nll_loss(z, counts, log_input=True, full=False, reduction="sum") / n)
case("huber", values, lambda z: F.huber_loss(z, values, reduction="sum") / n)
case("huber:0.3", values, lambda z: F.huber_loss(z, values, reduction="sum", delta=0.3) / n)
print(json.dumps({"torch": torch.__version__, "examples": n, "outputs": k, "z": z0.flatten().tolist(), "cases": cases}, indent=1))
