#!/usr/bin/env python3
"""Makes the .npy and .npz files of this folder with NumPy (1.24.2), for the tests of the readers.

Element i of every array is i (booleans: i is even)."""
import numpy as np
from numpy.lib import format

a = np.arange(12).reshape(3, 4)
for name, dtype in [("f4", "<f4"), ("f8", "<f8"), ("u1", "|u1"), ("i4", "<i4"), ("i8", "<i8"), ("big", ">f4")]:
    np.save(f"{name}.npy", a.astype(dtype))
np.save("bool.npy", a % 2 == 0)
np.save("vector.npy", np.arange(5, dtype="<f8"))
np.save("scalar.npy", np.float64(0))
np.save("fortran.npy", np.asfortranarray(a.astype("<f4")))
np.save("complex.npy", a.astype("<c8"))
for version in [(2, 0), (3, 0)]:
    with open(f"version{version[0]}.npy", "wb") as f:
        format.write_array(f, a.astype("<f4"), version=version)
x, y = np.arange(40, dtype="<f4").reshape(10, 4), np.arange(10, dtype="<i8") % 2
np.savez("stored.npz", x=x, y=y)
np.savez_compressed("deflated.npz", x_train=x[:8], y_train=y[:8], x_test=x[8:], y_test=y[8:])
