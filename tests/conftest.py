"""What all tests share: random but reproducible problems for every model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from lockstep import models
from lockstep.models import hmm_kernels, mixture_kernels  # noqa: F401  loaded: the quickest E-step is compiled

settings.register_profile("lockstep", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("lockstep")


@dataclass(frozen=True)
class Case:
    """A model with parameters, data drawn from them, and its sizes."""

    model: Any
    parameters: Any
    data: Any
    dims: dict[str, int]


def make_case(name: str, seed: int = 0, K: int = 3, size: int = 60) -> Case:
    """Return random parameters of a model and data from it."""
    model = models.load(name)
    rng = np.random.default_rng(seed)
    dims = {"n_components": K}
    weights = rng.dirichlet(np.full(K, 5.0))
    if name == "gaussian_mixture_1d":
        parameters = model.Parameters(weights, rng.normal(0, 3, K), rng.uniform(0.3, 2, K))
    elif name == "gaussian_mixture_2d":
        factors = rng.normal(0, 1, (K, 2, 2))
        covariances = factors @ factors.mT + 0.3 * np.eye(2)  # none is nearly singular
        parameters = model.Parameters(weights, rng.normal(0, 3, (K, 2)), covariances)
    else:
        dims["n_features"] = V = 4
        parameters = model.Parameters(
            weights, rng.dirichlet(np.ones(K), size=K), rng.dirichlet(np.ones(V), size=K)
        )
        size = (size - 12, 1, 11)
    data = model.sample(parameters, size, rng)
    return Case(model, parameters, data, dims)


@pytest.fixture(params=models.names())
def model_name(request):
    return request.param


@pytest.fixture
def case(model_name):
    return make_case(model_name)
