"""The quickest E-step there is for a model: its compiled twin, in parts over the processor's cores.

The readable E-step of each model is the definition; a twin is tested equal to it. A model without
a twin, and data that its twin does not take, have the readable one, and so does whatever is not
finite: it says what is wrong.

Loading the twins takes about a second, and they are loaded when a process has spent half a second
without them: who fits little never waits for them, and who fits much hardly longer than if they had
been there from the start.

How data are cut into parts depends on their size alone, and when the twins are loaded on the sizes
of what was done before. The same program therefore gives the same digits on any number of cores.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from lockstep.models import Data, Model, part
from lockstep.models.records import Floats, Parameters, Statistics, checked_weights

LOADING = 0.5
"""Seconds without compiled functions after which they are loaded."""

ROW, STEP = 1e-7, 1e-5
"""Seconds, about, that a readable E-step takes for a row and component of a mixture, and for a step
of a hidden Markov model."""

WORK = 2**22
"""Products of numbers in one part, about: a millisecond's work or two, of which waking a thread
is a small share."""


_without: defaultdict[str, float] = defaultdict(float)
"""Seconds, about, spent without each module of compiled functions."""


def compiled(name: str, seconds: float = math.inf) -> Any:
    """Return a module of compiled functions, or None as long as it is not worth loading.

    Parameters
    ----------
    name : str
        ``hmm_kernels`` or ``mixture_kernels``.
    seconds : float, optional
        What it takes, about, to do without this time; by default the module is loaded.
    """
    module = f"lockstep.models.{name}"
    if module not in sys.modules:
        _without[name] += seconds
        if _without[name] < LOADING:
            return None
    return importlib.import_module(module)


class Stretch(NamedTuple):
    """Some EM iterations in a row, as far as nothing was amiss.

    Attributes
    ----------
    path : tuple of ndarray, shape (n + 1, ...)
        The fields of the parameters after 0, 1, ..., n iterations.
    trace : ndarray, shape (n + 1,)
        Their log-likelihoods.
    changes : ndarray, shape (n,)
        The model's `change` over each iteration.
    """

    path: tuple[Floats, ...]
    trace: Floats
    changes: Floats


class Twin(Protocol):
    """Data as compiled functions take them: the class that a model's `twin` returns.

    Attributes
    ----------
    MODULE : str
        Where the compiled functions are.
    """

    MODULE: ClassVar[str]

    def __init__(self, data: Any, weights: Floats | None) -> None: ...

    @staticmethod
    def seconds(data: Any, K: int) -> float:
        """Return about how long the readable E-step takes."""
        ...

    def parts(self, parameters: Any) -> list[Any]:
        """Return the data in parts that cores may take at the same time."""
        ...

    def expect(self, parameters: Any, part: Any) -> Any:
        """Return what is summed over a part, the log-likelihood last."""
        ...

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Any:
        """Return the model's statistics, given all sums but the log-likelihood."""
        ...

    def climb(self, parameters: Any, part: Any, iterations: int, tol: float, **options: Any) -> Any:
        """Return the fields after each of some iterations, trace and changes; None if it cannot."""
        ...


class Rows:
    """Rows of numbers, none missing, for a mixture's kernels; a twin gives them its own sums."""

    MODULE: ClassVar = "mixture_kernels"

    @staticmethod
    def seconds(x: Floats, K: int) -> float:
        """Return about how long the readable E-step takes."""
        return ROW * len(x) * K

    def __init__(self, x: Floats, weights: Floats | None) -> None:
        self.kernels = compiled(self.MODULE)
        w = np.empty(0) if weights is None else checked_weights(weights, len(x))
        self.whole = np.ascontiguousarray(x), w

    def cut(self, size: int) -> list[Any]:
        """Return the rows in parts of about that size."""
        (x, w), size = self.whole, max(size, self.kernels.ROWS)
        cuts = range(0, len(x), size)
        return [(x[begin : begin + size], w[begin : begin + size]) for begin in cuts]


def twin_of(model: Model, data: Data) -> Any:
    """Return the class that prepares such data for the model's kernels; None if there is none.

    It is what `twin` of the model's ``compiled.py``, or of the model itself, returns.
    """
    twin = getattr(part(model, "compiled") or model, "twin", None)
    return None if twin is None else twin(data)


class Expectation:
    """The E-step of a model on given data, as quick as it goes.

    Parameters
    ----------
    model : Model
    data : Data
        As the model's `check_data` returns them.
    weights : ndarray, optional
        As for the model's `e_step`.
    """

    def __init__(self, model: Model, data: Data, weights: Floats | None = None) -> None:
        self.model, self.data, self.weights = model, data, weights
        self._twin = twin_of(model, data)
        self._prepared: Any = None
        self._parts: list[Any] = []
        self._threads: ThreadPoolExecutor | None = None

    def _cut(self, parameters: Parameters) -> list[Any]:
        """Return the parts of the data; none if the readable E-step is to take them."""
        if self._prepared is None and self._twin is not None:
            seconds = self._twin.seconds(self.data, parameters.n_components)
            if compiled(self._twin.MODULE, seconds) is None:
                return []
            self._prepared = self._twin(self.data, self.weights)
            self._parts = self._prepared.parts(parameters)
            if len(self._parts) > 1:
                from numba import get_num_threads

                self._threads = ThreadPoolExecutor(get_num_threads())
        return self._parts

    def __call__(self, parameters: Parameters) -> tuple[Statistics, float]:
        """Return what the model's `e_step` returns.

        Raises
        ------
        DegenerateError, ValueError
            As the model's `e_step` does.
        """
        if parts := self._cut(parameters):
            run = map if self._threads is None else self._threads.map
            sums = list(run(lambda part: self._prepared.expect(parameters, part), parts))
            *statistics, log_likelihood = (sum(each) for each in zip(*sums))
            if np.isfinite(log_likelihood):
                return self._prepared.statistics(parameters, statistics), float(log_likelihood)
        return self.model.e_step(parameters, self.data, self.weights)

    def climb(
        self, parameters: Parameters, options: Mapping[str, Any], iterations: int, tol: float
    ) -> Stretch | None:
        """Iterate EM, M-steps included, without coming back in between.

        Parameters
        ----------
        parameters : Parameters
        options : mapping
            Arguments of the model's `m_step`.
        iterations : int
            At the most.
        tol : float
            Stops after an iteration whose `change` is at most this.

        Returns
        -------
        Stretch or None
            None if there is no kernel for that, or it is not worth loading, or the data are so
            many that they are better taken in parts.
        """
        parts = self._cut(parameters)
        if len(parts) != 1:
            return None
        climbed = self._prepared.climb(parameters, parts[0], iterations, tol, **options)
        if climbed is None:
            return None
        *path, trace, changes = climbed
        return Stretch(tuple(path), trace, changes)


def e_step(model: Model) -> Callable[..., tuple[Statistics, float]]:
    """Return the quickest E-step of a model, with the signature of the model's own."""

    def quickest(
        parameters: Parameters, data: Data, weights: Floats | None = None
    ) -> tuple[Statistics, float]:
        return Expectation(model, data, weights)(parameters)

    return quickest
