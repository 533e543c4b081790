"""Our map to the simplex, beside PyMC's, which is the same function."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.distributions.transforms import simplex

from lockstep.models.softmax import Softmax


@pytest.mark.parametrize("shape", [(1,), (4,), (3, 2)])
def test_it_is_pymcs_transform(shape):
    rng = np.random.default_rng(0)
    v = pt.tensor(dtype="float64", shape=shape)
    p = pt.tensor(dtype="float64", shape=(*shape[:-1], shape[-1] + 1))
    at = rng.normal(size=shape)
    rows = rng.dirichlet(np.ones(shape[-1] + 1), size=shape[:-1])
    found = []
    for transform in (Softmax(), simplex):
        log_determinant = transform.log_jac_det(v)
        outputs = [
            transform.backward(v), log_determinant, pt.grad(log_determinant.sum(), v),
            transform.forward(p),
        ]  # fmt: skip
        with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
            found.append(pytensor.function([v, p], outputs)(at, rows))
    for mine, expected in zip(*found, strict=True):
        assert mine.shape == expected.shape
        np.testing.assert_allclose(mine, expected, rtol=1e-13, atol=1e-13)


def test_far_out_nothing_overflows():
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
        p = Softmax().backward(pt.constant([800.0, -800.0])).eval()
    np.testing.assert_array_equal(p, [1, 0, 0])
