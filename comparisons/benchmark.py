"""How long EM takes, ours beside each peer's: the same data, start and number of iterations.

``lockstep bench`` (or ``make bench``) times the estimators as a user calls them, validation and
all, in alternation within one process, and checks in every cell that the results are equal: ours
with the peer's, and the compiled E-step with the readable one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from models import categorical_hmm, kernels, load
from models import gaussian_mixture_2d as gaussian_mixture

ITERATIONS = 20
ROUNDS, SHORTEST, LONGEST = 7, 0.02, 4.0
"""Rounds of a cell; a round repeats what takes less than `SHORTEST` seconds, and what takes more
than `LONGEST` has three rounds."""

SAME = 1e-12
"""Largest relative difference of the compiled and the readable E-step: 10^7 additions, each with
an error of 1e-16 of the sum to either side, come to some 1e-13."""

SAME_FIT = 1e-8
"""Largest difference of fitted parameters, ours and a peer's, in units of the largest of their
kind: iterations amplify what rounding began."""


@dataclass(frozen=True)
class Work:
    """A piece of work that both sides do.

    Attributes
    ----------
    name : str
        For a reader.
    peers : tuple of str
        Names in `PEERS`.
    sizes : tuple of int
        Rows, or steps.
    K, D : int
        Components or states; coordinates or symbols.
    targets : dict
        Ratios that are aimed at, by (size, peer).
    each : int
        Steps of each sequence; 0 for one sequence. Mixtures have none.
    """

    name: str
    peers: tuple[str, ...]
    sizes: tuple[int, ...]
    K: int
    D: int
    targets: dict[tuple[int, str], float]
    each: int = 0


SKL, LOG, SCALING = "scikit-learn", "hmmlearn", "hmmlearn scaling"
POMEGRANATE, DYNAMAX = "pomegranate", "dynamax"
MIXTURE_PEERS, HMM_PEERS = (SKL, POMEGRANATE), (LOG, SCALING, DYNAMAX)

WORKS = (
    Work(
        "1D mixture, K=2", MIXTURE_PEERS, (100, 300, 10**3, 10**4, 10**5, 10**6, 10**7), 2, 1,
        {(300, SKL): 30, (10**6, SKL): 40},
    ),
    Work("1D mixture, K=8", MIXTURE_PEERS, (10**4, 10**6), 8, 1, {(10**6, SKL): 20}),
    Work(
        "2D mixture, K=2", MIXTURE_PEERS, (100, 300, 10**3, 10**4, 10**5, 10**6, 10**7), 2, 2,
        {(300, SKL): 30, (10**6, SKL): 25},
    ),
    Work("mixture, D=8, K=8", MIXTURE_PEERS, (10**3, 10**5), 8, 8, {(10**5, SKL): 4}),
    Work(
        "HMM, 2 states, 3 symbols", HMM_PEERS, (100, 10**3, 10**4, 10**5, 10**6, 10**7), 2, 3,
        {(100, LOG): 10, (10**6, LOG): 45, (10**6, SCALING): 11},
    ),
    Work("HMM, 8 states, 32 symbols", HMM_PEERS, (10**3, 10**5), 8, 32, {(10**5, SCALING): 5}),
    Work(
        "HMM, sequences of 20", HMM_PEERS, (2 * 10**3, 2 * 10**5), 2, 3,
        {(2 * 10**5, SCALING): 20}, each=20,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One size of one piece of work, ours beside one peer.

    Attributes
    ----------
    work, peer : str
    size, iterations : int
    ours, theirs : float or None
        Median seconds of a fit; None if the peer is not installed.
    ratio, lowest, highest : float or None
        Theirs over ours: of the medians, and over the rounds.
    target : float or None
        The ratio aimed at.
    apart : float or None
        Largest difference of the fitted parameters.
    kernel : float
        Largest relative difference of the compiled and the readable E-step at the fit.
    note : str
        Why something is missing; the peer's version and thread setting.
    """

    work: str
    peer: str
    size: int
    iterations: int
    ours: float | None
    theirs: float | None
    ratio: float | None
    lowest: float | None
    highest: float | None
    target: float | None
    apart: float | None
    kernel: float
    note: str


type Fit = Callable[[], Any]


class Mixture:
    """Data and start of a mixture's fit."""

    def __init__(self, work: Work, size: int, iterations: int) -> None:
        rng = np.random.default_rng(size)
        K, D = work.K, work.D
        means = rng.normal(0, 6, (K, D))
        self.x = means[rng.integers(K, size=size)] + rng.normal(size=(size, D))
        self.settings: dict[str, Any] = {
            "n_components": K,
            "weights_init": np.full(K, 1 / K),
            "means_init": means + rng.normal(0, 0.5, (K, D)),
            "precisions_init": np.stack([0.5 * np.eye(D)] * K),
            "max_iter": iterations,
            "tol": 0,
            "reg_covar": 1e-6,
        }

    def ours(self) -> Any:
        from models.estimators import GaussianMixture

        return GaussianMixture(**self.settings).fit(self.x)

    def scikit_learn(self) -> Any:
        from sklearn.mixture import GaussianMixture

        return GaussianMixture(**self.settings).fit(self.x)

    def pomegranate(self) -> Any:
        import torch
        from pomegranate.distributions import Normal
        from pomegranate.gmm import GeneralMixtureModel

        starts = [
            Normal(
                torch.tensor(mean),
                torch.tensor(np.linalg.inv(precision)),
                covariance_type="full",
                min_cov=1e-6,
            )
            for mean, precision in zip(
                self.settings["means_init"], self.settings["precisions_init"]
            )
        ]
        model = GeneralMixtureModel(
            starts,
            priors=torch.tensor(self.settings["weights_init"]),
            max_iter=self.settings["max_iter"],
            tol=-np.inf,
        )
        return model.fit(torch.tensor(self.x))

    @staticmethod
    def parameters(fit: Any) -> tuple[Any, ...]:
        if hasattr(fit, "distributions"):
            return (
                fit.priors.detach().numpy(),
                np.stack([d.means.detach().numpy() for d in fit.distributions]),
                np.stack([d.covs.detach().numpy() for d in fit.distributions]),
            )
        return fit.weights_, fit.means_, fit.covariances_

    def kernel(self, fit: Any) -> float:
        return _kernel_apart(
            gaussian_mixture, gaussian_mixture.Parameters(*self.parameters(fit)), self.x
        )


class Chain:
    """Data and start of a hidden Markov model's fit."""

    def __init__(self, work: Work, size: int, iterations: int) -> None:
        rng = np.random.default_rng(size)
        K, V = work.K, work.D
        self.lengths = [work.each] * (size // work.each) if work.each else [size]
        self.symbols = rng.integers(V, size=(size, 1))
        self.iterations = iterations
        self.start = (
            np.full(K, 1 / K),
            rng.dirichlet(np.full(K, 5.0), K),
            rng.dirichlet(np.full(V, 5.0), K),
        )

    def _fit(self, kind: Any, **settings: Any) -> Any:
        K, V = self.start[2].shape
        model = kind(
            K, n_iter=self.iterations, tol=-np.inf, init_params="", n_features=V, **settings
        )
        model.startprob_, model.transmat_, model.emissionprob_ = (a.copy() for a in self.start)
        return model.fit(self.symbols, self.lengths)

    def ours(self) -> Any:
        from models.estimators import CategoricalHMM

        return self._fit(CategoricalHMM)

    def hmmlearn(self) -> Any:
        from hmmlearn.hmm import CategoricalHMM

        return self._fit(CategoricalHMM)

    def hmmlearn_scaling(self) -> Any:
        from hmmlearn.hmm import CategoricalHMM

        return self._fit(CategoricalHMM, implementation="scaling")

    def dynamax(self) -> Any:
        import jax
        import jax.numpy as jnp
        from dynamax.hidden_markov_model import CategoricalHMM

        jax.config.update("jax_enable_x64", True)
        K, V = self.start[2].shape
        # One pseudo-count is the flat prior; its own default is above one.
        model = CategoricalHMM(
            K, 1, V, initial_probs_concentration=1.0, transition_matrix_concentration=1.0,
            transition_matrix_stickiness=0.0, emission_prior_concentration=1.0,
        )  # fmt: skip
        parameters, properties = model.initialize(
            initial_probs=jnp.asarray(self.start[0]),
            transition_matrix=jnp.asarray(self.start[1]),
            emission_probs=jnp.asarray(self.start[2])[:, None, :],
        )
        emissions = jnp.asarray(self.symbols.reshape(len(self.lengths), -1, 1))
        return model.fit_em(
            parameters, properties, emissions, num_iters=self.iterations, verbose=False
        )[0]

    @staticmethod
    def parameters(fit: Any) -> tuple[Any, ...]:
        if hasattr(fit, "emissions"):
            return (
                np.asarray(fit.initial.probs),
                np.asarray(fit.transitions.transition_matrix),
                np.asarray(fit.emissions.probs)[:, 0],
            )
        return fit.startprob_, fit.transmat_, fit.emissionprob_

    def kernel(self, fit: Any) -> float:
        if len(self.symbols) > 10**6:
            # The readable recursion takes ten microseconds a step; its start will do.
            return self._kernel(fit, [10**6])
        return self._kernel(fit, self.lengths)

    def _kernel(self, fit: Any, lengths: list[int]) -> float:
        symbols = self.symbols[: sum(lengths), 0]
        sequences = tuple(np.split(symbols, np.cumsum(lengths)[:-1]))
        return _kernel_apart(
            categorical_hmm, categorical_hmm.Parameters(*self.parameters(fit)), sequences
        )


PEERS: dict[str, tuple[str, str]] = {
    SKL: ("scikit-learn", "scikit_learn"),
    LOG: ("hmmlearn", "hmmlearn"),
    SCALING: ("hmmlearn", "hmmlearn_scaling"),
    POMEGRANATE: ("pomegranate", "pomegranate"),
    DYNAMAX: ("dynamax", "dynamax"),
}
"""Each peer's distribution, and its method of `Mixture` or `Chain`."""


def _kernel_apart(model: Any, parameters: Any, data: Any) -> float:
    """Return how far the compiled E-step is from the readable one, which takes the data in parts
    so as not to fill the memory: statistics add."""
    quick, value = kernels.e_step(load(model.NAME))(parameters, data)
    total: Any = None
    exact = 0.0
    for begin in range(0, len(data), 10**5):
        part, part_value = model.e_step(parameters, data[begin : begin + 10**5])
        total = part if total is None else total + part
        exact += part_value
    terms = {name: np.abs(array).max() for name, array in total.arrays().items()}
    if "first" in terms:  # it vanishes at a fit, but what it sums does not (Cauchy and Schwarz)
        terms["first"] = np.sqrt(terms["counts"] * terms["second"])
    pairs = zip(terms.values(), quick.arrays().values(), total.arrays().values())
    return max(abs(value / exact - 1), *(np.abs(a - b).max() / size for size, a, b in pairs))


def _apart(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _seconds(fit: Fit, times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        fit()
    return (time.perf_counter() - begin) / times


def _threads(fit: Fit) -> tuple[Callable[[], Any], str]:
    """Return the setting of the linear algebra's threads that a peer is quickest with."""
    import threadpoolctl

    def alone() -> Any:
        return threadpoolctl.threadpool_limits(1)

    times = max(1, int(SHORTEST / _seconds(fit, 1)))
    with alone():
        one = _seconds(fit, times)
    return (nullcontext, "all threads") if _seconds(fit, times) < one else (alone, "1 thread")


def _cell(work: Work, size: int, peer: str) -> Cell:
    iterations = ITERATIONS if size <= 10**6 else 2
    problem: Any = (Mixture if peer in MIXTURE_PEERS else Chain)(work, size, iterations)
    fitted = problem.ours()
    kernel = problem.kernel(fitted)
    target = work.targets.get((size, peer))
    distribution, method = PEERS[peer]
    version = _installed(distribution)
    if version is None:
        missing = f"{distribution} is not installed"
        return Cell(
            work.name, peer, size, iterations, None, None, None, None, None, target, None, kernel,
            missing,
        )  # fmt: skip
    peers_fit: Fit = getattr(problem, method)
    theirs = peers_fit()
    apart = max(
        _apart(a, b) for a, b in zip(problem.parameters(fitted), problem.parameters(theirs))
    )
    setting, threads = _threads(peers_fit)
    once = _seconds(peers_fit, 1)
    rounds = ROUNDS if once < LONGEST else 3
    times_ours = max(1, int(SHORTEST / _seconds(problem.ours, 1)))
    times_theirs = max(1, int(SHORTEST / once))
    pairs = []
    for _ in range(rounds):
        ours = _seconds(problem.ours, times_ours)
        with setting():
            pairs.append((ours, _seconds(peers_fit, times_theirs)))
    ratios = [b / a for a, b in pairs]
    ours, seconds = (median(side) for side in zip(*pairs))
    return Cell(
        work.name, peer, size, iterations, ours, seconds, seconds / ours, min(ratios), max(ratios),
        target, apart, kernel, f"{distribution} {version}, {threads}",
    )  # fmt: skip


def cells(quick: bool = False) -> Iterator[tuple[int, Callable[[], Cell]]]:
    """Yield each cell as its size and what measures it; the quick ones have at most 10^5 rows."""
    for work in WORKS:
        for size in work.sizes:
            for peer in work.peers:
                if not quick or size <= 10**5:
                    yield size, _measured(work, size, peer)


def _measured(work: Work, size: int, peer: str) -> Callable[[], Cell]:
    def measure() -> Cell:
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)  # hmmlearn tells of every fit that it stops
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the iteration limit, which is the point
                return _cell(work, size, peer)
        finally:
            logging.disable(level)

    return measure


def failures(measured: list[Cell]) -> list[str]:
    """Return what is wrong with the results, a line each; times are not among it."""
    wrong = []
    for cell in measured:
        where = f"{cell.work}, size {cell.size}"
        if not cell.kernel <= SAME:
            wrong.append(f"{where}: the compiled E-step is {cell.kernel:.1e} off the readable one")
        if cell.apart is not None and not cell.apart <= SAME_FIT:
            wrong.append(f"{where}: our fit is {cell.apart:.1e} off that of {cell.peer}")
    return wrong


MEMORY = (
    ("1D mixture, K=2", 10**6, ("ours", "scikit_learn")),
    ("2D mixture, K=2", 10**6, ("ours", "scikit_learn")),
    ("HMM, 2 states, 3 symbols", 10**6, ("ours", "hmmlearn", "hmmlearn_scaling")),
)
STREAMED = 10**8
"""Values of the memory-mapped file that the 1D mixture is fitted to, two passes over all."""


def memory(quick: bool = False) -> Iterator[tuple[str, float]]:
    """Yield peak memory in MB that a fit takes beyond its data and imports, a process for each."""
    for name, size, methods in MEMORY:
        for method in methods:
            yield f"{name}, N={size:.0e}, {method}", _peak("fit", name, str(size), method)
    if not quick:
        yield f"1D mixture streamed from a file, N={STREAMED:.0e}, ours", _peak("stream")


def _peak(*arguments: str) -> float:
    command = [sys.executable, "-m", "comparisons.benchmark", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _high_water() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _peak_of_a_fit(name: str, size: int, method: str) -> float:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    work = next(work for work in WORKS if work.name == name)
    kind: Any = Mixture if work.peers == MIXTURE_PEERS else Chain
    getattr(kind(work, 1000 - 1000 % (work.each or 1), 2), method)()  # imports, and warms up
    problem = kind(work, size, 2)
    before = _high_water()
    getattr(problem, method)()
    return _high_water() - before


def _peak_of_a_stream() -> float:
    import tempfile
    from pathlib import Path

    from models.estimators import GaussianMixture

    rng = np.random.default_rng(0)
    start: dict[str, Any] = {
        "weights_init": [0.5, 0.5],
        "means_init": [[0.0], [4.0]],
        "precisions_init": [[[1.0]], [[1.0]]],
    }
    GaussianMixture(2, **start).partial_fit(rng.normal(size=(1000, 1)))
    before = _high_water()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        x = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(STREAMED, 1))
        for begin in range(0, STREAMED, 10**6):
            x[begin : begin + 10**6] = rng.normal(size=(10**6, 1)) + 5 * (
                rng.random((10**6, 1)) < 0.3
            )
            x.flush()
            _forget(x)
        del x
        model = GaussianMixture(2, **start)
        for _ in range(2):
            model.partial_fit(path)
    return _high_water() - before


def _forget(x: Any) -> None:
    import mmap

    x.base.madvise(mmap.MADV_DONTNEED)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    names = ("numpy", "numba", "scikit-learn", "hmmlearn", "pomegranate", "dynamax")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: _installed(name) for name in names},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            found = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return found[0]
    except (OSError, IndexError):
        return platform.processor()


def as_json(measured: list[Cell], peaks: dict[str, float]) -> dict[str, Any]:
    """Return the results as they are written to JSON."""
    return {
        "machine": machine(),
        "cells": [asdict(cell) for cell in measured],
        "peak_memory_mb": peaks,
    }


if __name__ == "__main__":
    print(
        _peak_of_a_stream()
        if sys.argv[1] == "stream"
        else _peak_of_a_fit(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    )
