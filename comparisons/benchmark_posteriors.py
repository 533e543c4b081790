"""How long a posterior takes: the E-step as the gradient, beside stock PyMC and autodiff.

Stock is what a PyMC user would write: `pm.NormalMixture`, `pm.Mixture` of `pm.MvNormal`, and for
the hidden Markov model a forward algorithm by `scan`, scaled so as to need no logarithm within the
loop. Priors are the same on both sides, and so are the drivers: PyMC's own compiled log-density for
gradients, nutpie's NUTS for draws, called on each side as its users call it (`sample`).
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep.models import bayesian, categorical_hmm, load
from lockstep.models.records import Floats

if TYPE_CHECKING:
    from pymc import Model

ROUNDS, SHORTEST = 15, 0.02
"""Rounds of the alternation, and seconds that a side's turn lasts at least."""

SAME = 1e-8
"""Largest relative difference of the two sides' log-densities and gradients."""

SEEDS = 5
"""Over so many the effective draws are averaged; the time is that of the first."""

SIDES = ("fisher", "stock")


@dataclass(frozen=True)
class Row:
    """Our figure beside stock's.

    Attributes
    ----------
    name, unit : str
    ours, stock : float
    ratio : float
        How many times better ours is.
    target : float
        The ratio that is aimed at.
    note : str
        What bounds it.
    """

    name: str
    unit: str
    ours: float
    stock: float
    ratio: float
    target: float
    note: str = ""


def _scan(symbols: Any, startprob: Any, transmat: Any, emissionprob: Any) -> Any:
    """Return the log-likelihood by a scaled forward algorithm in a loop.

    Symbols have the shape (T,), or (T, n) for n sequences of one length, which go side by side.
    """
    import pytensor.tensor as pt
    from pytensor import scan

    b = pt.moveaxis(emissionprob[:, symbols], 0, -1)  # (T, ..., K)
    first = startprob * b[0]

    def step(b: Any, alpha: Any, A: Any) -> Any:
        joint = (alpha @ A) * b
        scale = joint.sum(axis=-1, keepdims=True)
        return joint / scale, scale

    scale = first.sum(axis=-1, keepdims=True)
    _, scales = scan(
        step,
        sequences=[b[1:]],
        outputs_info=[first / scale, None],
        non_sequences=[transmat],
        return_updates=False,
    )
    return pt.log(scales).sum() + pt.log(scale).sum()


def problem(name: str, size: int) -> tuple[Any, dict[str, int]]:
    """Return data of so many rows or steps from a fixed truth with K = 2, and the sizes."""
    model, rng = load(name), np.random.default_rng(0)
    truth: Any
    if name == "gaussian_mixture_1d":
        truth = model.Parameters.of(weights=[0.4, 0.6], means=[-2, 3], variances=[0.25, 1])
    elif name == "gaussian_mixture_2d":
        covariances = [[[1, 0.5], [0.5, 1]], [[1, -0.3], [-0.3, 1]]]
        truth = model.Parameters.of(
            weights=[0.4, 0.6], means=[[0, 0], [4, 4]], covariances=covariances
        )
    else:
        truth = model.Parameters.of(
            startprob=[0.6, 0.4],
            transmat=[[0.8, 0.2], [0.3, 0.7]],
            emissionprob=[[0.1, 0.3, 0.6], [0.6, 0.3, 0.1]],
        )
    return model.sample(truth, size, rng), truth.dims


def build(name: str, data: Any, dims: dict[str, int], side: str) -> Model:
    """Return one side's PyMC model of the data; sequences have one length."""
    import pymc as pm

    if name == "categorical_hmm" and side == "stock":
        K, V = dims["n_components"], dims["n_features"]
        symbols = data[0] if len(data) == 1 else np.stack(data, axis=1)
        with pm.Model(check_bounds=False) as model:
            x = pm.Data("symbols", symbols)
            startprob = pm.Dirichlet("startprob", np.ones(K))
            transmat = pm.Dirichlet("transmat", np.ones((K, K)))
            emissionprob = pm.Dirichlet("emissionprob", np.ones((K, V)))
            pm.Potential("log_likelihood", _scan(x, startprob, transmat, emissionprob))
        return model
    observed = bayesian.observations(name, data)
    return bayesian.build(name, dims, observed, stock=side == "stock")


def _density(model: Model) -> Callable[[Floats], Any]:
    """Return the compiled log-density and gradient of an unconstrained vector."""
    with model:
        wrapped = model.logp_dlogp_function(ravel_inputs=True, initial_point=model.initial_point(0))
    function: Any = wrapped._pytensor_function
    function.trust_input = True
    return function  # type: ignore[no-any-return]


def _turn(function: Callable[[], Any], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - began) / repeats


def gradient(name: str, title: str, size: int, target: float) -> Row:
    """Time one evaluation of the log-density and its gradient, the sides taking turns.

    Raises
    ------
    AssertionError
        If the sides differ.
    """
    data, dims = problem(name, size)
    point = bayesian.start(name, dims, data, np.random.default_rng(1))
    evaluate: dict[str, Callable[[], Any]] = {}
    for side in SIDES:
        model = build(name, data, dims, side)
        at = np.concatenate([np.ravel(point[v.name]) for v in model.value_vars])
        evaluate[side] = partial(_density(model), at)
    for mine, theirs in zip(*(evaluate[side]() for side in SIDES)):
        assert np.abs(mine - theirs).max() <= SAME * np.abs(theirs).max(), (name, mine, theirs)
    repeats = {side: max(1, round(SHORTEST / _turn(evaluate[side], 3))) for side in SIDES}
    turns: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side in SIDES:
            turns[side].append(_turn(evaluate[side], repeats[side]))
    ours, stock = (1e6 * median(turns[side]) for side in SIDES)
    return Row(f"gradient, {title}", "us", ours, stock, stock / ours, target)


def compile_likelihood(side: str) -> dict[str, float]:
    """Return the seconds until the 2D mixture's likelihood has given its first gradient."""
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt
    from pymc.pytensorf import compile as compile_function

    name = "gaussian_mixture_2d"
    likelihood = importlib.import_module(f"lockstep.models.{side}").gaussian_mixture_2d
    data, _ = problem(name, 300)
    began = time.perf_counter()
    inputs = [pt.tensor(shape=shape, dtype="float64") for shape in ((2,), (2, 2), (2, 2, 2))]
    value = likelihood(pytensor.shared(data), *inputs)
    with pm.Model(check_bounds=False):  # stock's best setting
        function = compile_function(inputs, [value, *pt.grad(value, inputs)])
    function(np.full(2, 0.5), np.array([[0.0, 0], [1, 1]]), np.array([np.eye(2)] * 2))
    return {"seconds": time.perf_counter() - began}


def compile_model(side: str) -> dict[str, float]:
    """Return the seconds until the 2D mixture's posterior has given its first gradient.

    The side ``prior`` has no likelihood.
    """
    name = "gaussian_mixture_2d"
    data, dims = problem(name, 300)
    began = time.perf_counter()
    model = build(name, data, dims, side)
    if side == "prior":
        model.potentials.clear()
    _density(model)(np.zeros(sum(v.size for v in model.initial_point(0).values())))
    return {"seconds": time.perf_counter() - began}


def sample(side: str) -> dict[str, float]:
    """Compile and sample the scenario ``hmm-weather``; return seconds and effective draws.

    Each side goes its users' way: ours that of ``pymc-nuts``; stock that of `pm.sample`, which is
    nutpie's own compilation, and 1,000 draws to adapt. ``stock_through_python`` is stock by our
    way. States are ordered within each draw by their probability of the first symbol. The
    effective draws are the fewest of any parameter, which vary by a tenth from seed to seed, and
    here are a mean over some.
    """
    import arviz as az
    import nutpie

    from lockstep.comparisons.implementations import _nuts, _pymc
    from lockstep.comparisons.scenarios import scenarios

    name, prepared = "categorical_hmm", scenarios()["hmm-weather"].prepare()
    dims = dict(prepared.dims)
    settings = {"chains": _nuts.CHAINS, "draws": _nuts.DRAWS}
    began = time.perf_counter()
    model = build(name, prepared.data, dims, side.partition("_")[0])
    graph = _pymc.Graph(name, model)
    compiled = nutpie.compile_pymc_model(model) if side == "stock" else None

    def start(rng: np.random.Generator) -> Floats:
        return graph.flat(bayesian.start(name, dims, prepared.data, rng))

    def draws(seed: int) -> Any:
        if compiled is None:
            trace = _nuts.draw(graph, start, tune=_nuts.TUNE, seed=seed, **settings)
            return graph.parameters(trace.posterior["x"].to_numpy())
        trace = nutpie.sample(
            compiled, tune=1000, cores=2, target_accept=_nuts.TARGET_ACCEPT, seed=seed,
            adaptation=_nuts.ADAPTATION, progress_bar=False, **settings,
        )  # fmt: skip
        names = [field.name for field in dataclasses.fields(categorical_hmm.Parameters)]
        return categorical_hmm.Parameters(*(trace.posterior[n].to_numpy() for n in names))

    def effective(found: Any) -> float:
        found = found.relabelled(np.argsort(-found.emissionprob[..., 0], axis=-1))
        return min(
            float(az.ess(array[(..., *index)]))
            for array in found.arrays().values()
            for index in np.ndindex(array.shape[2:])
        )

    first = draws(0)
    seconds = time.perf_counter() - began
    sizes = [effective(first), *(effective(draws(seed)) for seed in range(1, SEEDS))]
    return {"seconds": seconds, "effective": float(np.mean(sizes))}


TASKS = {task.__name__: task for task in (compile_likelihood, compile_model, sample)}


def fresh(task: str, side: str, folder: str) -> dict[str, float]:
    """Do a task in a process of its own, with PyTensor's cache in that folder."""
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    done = subprocess.run(
        [sys.executable, "-m", MODULE, task, side],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTENSOR_FLAGS": f"{flags},base_compiledir={folder}".strip(",")},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


MODULE = "lockstep.comparisons.benchmark_posteriors"
GRADIENTS = (
    ("categorical_hmm", "HMM, K=2, V=3, T=2,000", 2000, 60.0),
    ("gaussian_mixture_2d", "2D mixture, K=2, N=10^4", 10**4, 10.0),
    ("gaussian_mixture_1d", "1D mixture, K=2, N=10^5", 10**5, 5.0),
)


def gradients() -> Iterator[Row]:
    """Yield the rows of gradient evaluations."""
    for which in GRADIENTS:
        yield gradient(*which)


def compilations() -> Iterator[Row]:
    """Yield the rows of compilations, each in a process and with a cache of its own."""

    def seconds(task: str, side: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return fresh(task, side, folder)["seconds"]

    ours, stock = (seconds("compile_likelihood", side) for side in SIDES)
    yield Row("compile, 2D mixture, likelihood", "s", ours, stock, stock / ours, 3.0)
    ours, stock, prior = (seconds("compile_model", side) for side in (*SIDES, "prior"))
    note = f"priors and transforms alone, the same on both sides: {prior:.3g} s"
    yield Row("compile, 2D mixture, posterior", "s", ours, stock, stock / ours, 3.0, note)


def effective() -> Iterator[Row]:
    """Yield effective draws a second on ``hmm-weather``: first ever, then with what is cached."""
    by_our_way = "stock_through_python"
    rates: dict[str, dict[str, float]] = {"nothing cached": {}, "PyTensor's cache warm": {}}
    for side in (*SIDES, by_our_way):
        with tempfile.TemporaryDirectory() as folder:
            for when in rates:
                found = fresh("sample", side, folder)
                rates[when][side] = found["effective"] / found["seconds"]
    for when, rate in rates.items():
        ours, stock = (rate[side] for side in SIDES)
        name = f"effective draws, hmm-weather, compilation included, {when}"
        note = f"stock through Python, as ours: {rate[by_our_way]:.3g} a second"
        yield Row(name, "a second", ours, stock, ours / stock, 5.0, note)


def _rows(kind: Callable[[], Iterator[Row]]) -> list[Row]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(kind())


STUDIES = {
    "posterior, gradients": partial(_rows, gradients),
    "posterior, compilation": partial(_rows, compilations),
    "posterior, effective draws": partial(_rows, effective),
}
"""What `comparisons.benchmark` measures of posteriors; some minutes, most of them compilation."""


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(TASKS[sys.argv[1]](sys.argv[2])))
