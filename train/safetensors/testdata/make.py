"""Makes reference.safetensors with numpy alone, from the published description of the format.

Run in this folder: python3 make.py
"""
import json
import struct

import numpy as np

w = (np.arange(12, dtype="<f4").reshape(3, 4) - 5) / 8
b = np.array([1.5, -2.25e-300, np.inf], dtype="<f8")
n = np.array(-(2**40) - 1, dtype="<i8")
h = np.array([1, 2, 3], dtype="<f2")
parts = [("layer.weight", "F32", w), ("layer.bias", "F64", b), ("steps", "I64", n), ("half", "F16", h)]
header, at = {"__metadata__": {"made by": "make.py"}}, 0
for name, kind, a in parts:
    header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
    at += a.nbytes
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open("reference.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for _, _, a in parts))
