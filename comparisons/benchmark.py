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
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from lockstep.comparisons import benchmark_posteriors
from lockstep.comparisons.implementations import estimators
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.validation.problems import general
from lockstep.models import categorical_hmm, em, kernels, load, names
from lockstep.models import gaussian_mixture_2d as gaussian_mixture

ITERATIONS, FEW_ITERATIONS = 20, 2
QUICK = 10**4
ROUNDS, SHORTEST, LONGEST = 7, 0.02, 4.0
"""Rounds of a cell; a round repeats what takes less than `SHORTEST` seconds, and what takes more
than `LONGEST` has three rounds."""

SAME = 1e-12
"""Largest relative difference of the compiled and the readable E-step: 10^7 additions, each with
an error of 1e-16 of the sum to either side, come to some 1e-13."""

SAME_FIT, SAME_IN_SINGLE = 1e-8, 1e-4
"""Largest difference of fitted parameters, ours and a peer's, in units of the largest of their
kind: iterations amplify what rounding began. The second is for a peer that keeps its sums in
single precision."""


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

    def problem(self, size: int) -> Any:
        """Return a `Mixture` or a `Chain` of that size, with fewer iterations if it is large."""
        kind = Mixture if set(self.peers) <= set(MIXTURE_PEERS) else Chain
        return kind(self, size, ITERATIONS if size <= 10**6 else FEW_ITERATIONS)


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
    kernel : float
        Largest relative difference of the compiled and the readable E-step at the fit.
    note : str
        The peer's version and thread setting, or why the rest is missing.
    target : float or None
        The ratio aimed at.
    ours, theirs : float or None
        Median seconds of a fit over the rounds.
    ratio, lowest, highest : float or None
        Theirs over ours: median, minimum and maximum over the rounds.
    apart : float or None
        Largest difference of the fitted parameters.
    """

    work: str
    peer: str
    size: int
    iterations: int
    kernel: float
    note: str
    target: float | None = None
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None
    lowest: float | None = None
    highest: float | None = None
    apart: float | None = None


type Fit = Callable[[], Any]


class Mixture:
    """Data and start of a mixture's fit; each further method is a library's way to do it."""

    def __init__(self, work: Work, size: int, iterations: int) -> None:
        self.size, self.iterations = size, iterations
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
            "reg_covar": 0,
        }

    def ours(self) -> Any:
        """Fit with `lockstep.models.estimators.GaussianMixture`."""
        from lockstep.models.estimators import GaussianMixture

        return GaussianMixture(**self.settings).fit(self.x)

    def scikit_learn(self) -> Any:
        """Fit with scikit-learn."""
        from sklearn.mixture import GaussianMixture

        return GaussianMixture(**self.settings).fit(self.x)

    def pomegranate(self) -> Any:
        """Fit with pomegranate, in double precision."""
        import torch
        from pomegranate.distributions import Normal
        from pomegranate.gmm import GeneralMixtureModel

        starts = [
            Normal(
                torch.tensor(mean),
                torch.tensor(np.linalg.inv(precision)),
                covariance_type="full",
                min_cov=0,
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
        """Return a fit's weights, means and covariances."""
        if hasattr(fit, "distributions"):
            return (
                fit.priors.detach().numpy(),
                np.stack([d.means.detach().numpy() for d in fit.distributions]),
                np.stack([d.covs.detach().numpy() for d in fit.distributions]),
            )
        return fit.weights_, fit.means_, fit.covariances_

    def kernel(self, fit: Any) -> float:
        """Return how far the compiled E-step is from the readable one."""
        return _kernel_apart(
            gaussian_mixture, gaussian_mixture.Parameters(*self.parameters(fit)), self.x
        )


class Chain:
    """The same of a hidden Markov model's fit."""

    def __init__(self, work: Work, size: int, iterations: int) -> None:
        self.size, self.iterations = size, iterations
        rng = np.random.default_rng(size)
        K, V = work.K, work.D
        self.lengths = [work.each] * (size // work.each) if work.each else [size]
        self.symbols = rng.integers(V, size=(size, 1))
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
        """Fit with `lockstep.models.estimators.CategoricalHMM`."""
        from lockstep.models.estimators import CategoricalHMM

        return self._fit(CategoricalHMM)

    def hmmlearn(self) -> Any:
        """Fit with hmmlearn as it comes."""
        from hmmlearn.hmm import CategoricalHMM

        return self._fit(CategoricalHMM)

    def hmmlearn_scaling(self) -> Any:
        """Fit with hmmlearn's quicker implementation."""
        from hmmlearn.hmm import CategoricalHMM

        return self._fit(CategoricalHMM, implementation="scaling")

    def dynamax(self) -> Any:
        """Fit with dynamax, in double precision."""
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
        """Return a fit's startprob, transmat and emissionprob."""
        if hasattr(fit, "emissions"):
            return (
                np.asarray(fit.initial.probs),
                np.asarray(fit.transitions.transition_matrix),
                np.asarray(fit.emissions.probs)[:, 0],
            )
        return fit.startprob_, fit.transmat_, fit.emissionprob_

    def kernel(self, fit: Any) -> float:
        """Return how far the compiled E-step is from the readable one."""
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


PEERS: dict[str, tuple[str, str, float]] = {
    SKL: ("scikit-learn", "scikit_learn", SAME_FIT),
    LOG: ("hmmlearn", "hmmlearn", SAME_FIT),
    SCALING: ("hmmlearn", "hmmlearn_scaling", SAME_FIT),
    POMEGRANATE: ("pomegranate", "pomegranate", SAME_IN_SINGLE),
    DYNAMAX: ("dynamax", "dynamax", SAME_FIT),
}
"""Each peer's distribution, its method of `Mixture` or `Chain`, how near its fits are to ours."""


def _kernel_apart(model: Any, parameters: Any, data: Any) -> float:
    """Return how far the compiled E-step is from the readable one.

    The readable one takes the data in parts so as not to fill the memory: statistics add.
    """
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
    statistics = (np.max(np.abs(a - b) / size) for size, a, b in pairs)
    return float(max(abs(value / exact - 1), *statistics))


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


def cells(work: Work, size: int) -> list[Cell]:
    """Measure one size of one piece of work beside each of its peers."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # hmmlearn tells of every fit that it stops
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the iteration limit, which is the point
            for module in ("hmm_kernels", "mixture_kernels"):
                kernels.compiled(module)
            problem = work.problem(size)
            fitted = problem.ours()
            kernel = problem.kernel(fitted)
            return [_beside(work, problem, peer, fitted, kernel) for peer in work.peers]
    finally:
        logging.disable(level)


def _beside(work: Work, problem: Any, peer: str, fitted: Any, kernel: float) -> Cell:
    distribution, method, _ = PEERS[peer]
    cell = Cell(
        work.name, peer, problem.size, problem.iterations, target=work.targets.get(
            (problem.size, peer)
        ), kernel=kernel, note=f"{distribution} is not installed",
    )  # fmt: skip
    version = _installed(distribution)
    if version is None:
        return cell
    fit: Fit = getattr(problem, method)
    theirs = fit()
    apart = max(
        _apart(a, b) for a, b in zip(problem.parameters(fitted), problem.parameters(theirs))
    )
    setting, threads = _threads(fit)
    once = _seconds(fit, 1)
    times_ours = max(1, int(SHORTEST / _seconds(problem.ours, 1)))
    times_theirs = max(1, int(SHORTEST / once))
    pairs = []
    for _ in range(ROUNDS if once < LONGEST else 3):
        ours = _seconds(problem.ours, times_ours)
        with setting():
            pairs.append((ours, _seconds(fit, times_theirs)))
    ratios = [b / a for a, b in pairs]
    return replace(
        cell,
        ours=median(a for a, _ in pairs),
        theirs=median(b for _, b in pairs),
        ratio=median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        apart=apart,
        note=f"{distribution} {version}, {threads}",
    )


def lonely() -> list[str]:
    """Return the models that no library has an estimator of."""
    found = []
    for name in names():
        try:
            problem = general(name, 1, K=2, size=20, one=True)
        except LookupError:  # there is nothing to time it on
            continue
        if not estimators(Problem(name, problem.data, problem.dims, Mode.AS_CONFIGURED, seed=0)):
            found.append(name)
    return found


def alone(name: str, size: int) -> list[Cell]:
    """Time EM of a model that no library has an estimator of."""
    model, given = load(name), general(name, 1, K=2, size=size, one=True)
    start = model.Parameters(**given.start)

    def fit() -> Any:
        return em.fit(model, start, given.data, max_iter=ITERATIONS, tol=-1)

    kernel = _kernel_apart(model, fit().parameters, given.data)
    ours = _seconds(fit, 1)
    note = (
        f"nothing beside the {model.TITLE}, which no library has an estimator of "
        f"({1e9 * ours / ITERATIONS / size:,.0f} ns a row and iteration)"
    )
    return [Cell(model.TITLE, "", size, ITERATIONS, kernel, note, ours=ours)]


def failures(measured: Sequence[Measured]) -> list[str]:
    """Return what is wrong with the results, a line each; times are not among it."""
    wrong = []
    for cell in measured:
        if not isinstance(cell, Cell):
            continue
        where = f"{cell.work}, size {cell.size}"
        if not cell.kernel <= SAME:
            wrong.append(f"{where}: the compiled E-step is {cell.kernel:.1e} off the readable one")
        if cell.apart is not None and not cell.apart <= PEERS[cell.peer][2]:
            wrong.append(f"{where}: our fit is {cell.apart:.1e} off that of {cell.peer}")
    return wrong


STREAM, STREAMED = "1D mixture, K=2, streamed from a file", 10**8
"""Two passes over all values of a memory-mapped file."""

MEMORY: tuple[tuple[str, int, tuple[str, ...], float | None], ...] = (
    ("1D mixture, K=2", 10**6, ("ours", "scikit_learn"), None),
    ("2D mixture, K=2", 10**6, ("ours", "scikit_learn"), None),
    ("HMM, 2 states, 3 symbols", 10**6, ("ours", "hmmlearn", "hmmlearn_scaling"), None),
    (STREAM, STREAMED, ("ours",), 300.0),
)


@dataclass(frozen=True)
class Peak:
    """Memory that a fit takes at its peak, beyond its data and the interpreter with its imports.

    Attributes
    ----------
    work, library : str
    size : int
    megabytes : float
    limit : float or None
        What is aimed at.
    """

    work: str
    library: str
    size: int
    megabytes: float
    limit: float | None = None


def _peak(work: str, method: str, size: int, limit: float | None) -> list[Peak]:
    megabytes = _in_a_process(work, method, str(size))
    library = {"ours": "ours", "scikit_learn": SKL}.get(method, method.replace("_", " "))
    return [Peak(work, library, size, megabytes, limit)]


@dataclass(frozen=True)
class FirstFit:
    """A first fit in a fresh process, its imports included.

    Attributes
    ----------
    work : str
    size : int
    peer : str
    ours, theirs : float
        Median seconds.
    """

    work: str
    size: int
    peer: str
    ours: float
    theirs: float


_MIXTURE = """
import numpy as np
from {module} import GaussianMixture
x = np.random.default_rng(0).normal([[-2], [3]], 1, (2, 150)).reshape(300, 1)
GaussianMixture(2, random_state=0).fit(x)
"""
_HMM = """
import numpy as np
from {module} import CategoricalHMM
CategoricalHMM(2, random_state=0).fit(np.random.default_rng(0).integers(3, size=(100, 1)))
"""
FIRST = (
    ("1D mixture, K=2", 300, SKL, _MIXTURE, "sklearn.mixture"),
    ("HMM, 2 states, 3 symbols", 100, LOG, _HMM, "hmmlearn.hmm"),
)


def _first_fit(work: str, size: int, peer: str, program: str, module: str) -> list[FirstFit]:
    times = []
    for _ in range(ROUNDS):
        for source in ("lockstep.models.estimators", module):
            begin = time.perf_counter()
            command = [sys.executable, "-c", program.format(module=source)]
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - begin)
    return [FirstFit(work, size, peer, median(times[::2]), median(times[1::2]))]


type Measured = Cell | FirstFit | Peak | benchmark_posteriors.Row


def _in_a_process(*arguments: str) -> float:
    """Return the number that this module prints when it is run with these arguments."""
    command = [sys.executable, "-m", "lockstep.comparisons.benchmark", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def _high_water(*, anew: bool = False) -> float:
    """Return the most memory that this process has had, in MB; from here on, if anew."""
    try:
        if anew:
            with suppress(OSError), open("/proc/self/clear_refs", "w") as references:
                references.write("5")
        with open("/proc/self/status") as lines:
            peak = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
        return float(peak) / 2**10
    except (OSError, StopIteration):  # only Linux has it, and its getrusage counts the parent too
        import resource

        peak_so_far = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak_so_far / (2**20 if sys.platform == "darwin" else 2**10)


def _peak_of_a_fit(work: Work, size: int, method: str) -> float:
    getattr(work.problem(1000), method)()  # imports, and warms up
    problem = work.problem(size)
    before = _high_water(anew=True)
    getattr(problem, method)()
    return _high_water() - before


def _peak_of_a_stream() -> float:
    import mmap
    import tempfile
    from pathlib import Path

    from lockstep.models.estimators import GaussianMixture

    rng = np.random.default_rng(0)
    start: dict[str, Any] = {
        "weights_init": [0.5, 0.5],
        "means_init": [[0.0], [4.0]],
        "precisions_init": [[[1.0]], [[1.0]]],
    }
    GaussianMixture(2, **start).partial_fit(rng.normal(size=(1000, 1)))
    before = _high_water(anew=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        x = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(STREAMED, 1))
        for begin in range(0, STREAMED, 10**6):
            x[begin : begin + 10**6] = rng.normal(size=(10**6, 1)) + 5 * (
                rng.random((10**6, 1)) < 0.3
            )
            x.flush()
            x.base.madvise(mmap.MADV_DONTNEED)  # type: ignore[union-attr]  # the map itself
        del x
        model = GaussianMixture(2, **start)
        for _ in range(2):
            model.partial_fit(path)
    return _high_water() - before


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


def plan(
    words: Sequence[str] = (), *, quick: bool = False
) -> list[tuple[str, Callable[[], Sequence[Measured]]]]:
    """Return what is to be measured, each with a title.

    Parameters
    ----------
    words : sequence of str, optional
        Only what has one of them in its title, in capitals or not.
    quick : bool, optional
        Only data of up to `QUICK` rows or steps, no peaks of memory and no posteriors.
    """
    planned: list[tuple[str, Callable[[], Sequence[Measured]]]] = [
        (f"{work.name}, size {size:,}", partial(cells, work, size))
        for work in WORKS
        for size in work.sizes
        if not quick or size <= QUICK
    ]
    planned += [
        (f"{load(name).TITLE}, size {QUICK:,}", partial(alone, name, QUICK)) for name in lonely()
    ]
    planned += [(f"{first[0]}, first fit", partial(_first_fit, *first)) for first in FIRST]
    if not quick:
        planned += [
            (f"{name}, size {size:,}, memory, {method}", partial(_peak, name, method, size, limit))
            for name, size, methods, limit in MEMORY
            for method in methods
        ]
        planned += [(title, study) for title, study in benchmark_posteriors.STUDIES.items()]
    return [
        (title, measure)
        for title, measure in planned
        if not words or any(word.lower() in title.lower() for word in words)
    ]


def as_json(measured: Sequence[Measured]) -> dict[str, Any]:
    """Return the results as they are written to JSON."""

    def of(kind: type) -> list[dict[str, Any]]:
        return [asdict(one) for one in measured if isinstance(one, kind)]

    return {
        "machine": machine(),
        "cells": of(Cell),
        "first_fits": of(FirstFit),
        "memory": of(Peak),
        "posteriors": of(benchmark_posteriors.Row),
    }


def _main(name: str, method: str, size: int) -> float:
    """Measure the peak of a fit, which must have a process of its own."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for module in ("hmm_kernels", "mixture_kernels"):
        kernels.compiled(module)
    if name == STREAM:
        return _peak_of_a_stream()
    return _peak_of_a_fit(next(work for work in WORKS if work.name == name), size, method)


if __name__ == "__main__":
    print(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
