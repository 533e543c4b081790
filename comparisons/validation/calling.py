"""A target by what it can do: steps, fits, an E-step with an M-step, estimators."""

from __future__ import annotations

import copy
import inspect
import random
from typing import Any, override

import numpy as np

from lockstep.comparisons.validation.binding import (
    Answer,
    Arrays,
    Call,
    field_names,
    last,
    n_symbols,
    numbers,
    one_sequence,
    plain_numbers,
    read,
    role_of,
    squared,
    values_of,
)
from lockstep.comparisons.validation.reading import TargetError
from lockstep.comparisons.validation.vocabulary import spoken


class Adapter:
    """A target by what it can do.

    Attributes
    ----------
    kind : str
        What it was recognised as.
    text : str
        How it is called.
    from_start : bool
        Whether it iterates from given parameters; else it chooses its own start.
    one_sequence : bool or None
        Whether an HMM takes a single sequence; None if only trying can tell.
    changed : set of str
        Which of its arguments it has written to: ``data``, ``parameters``.
    is_pair : bool
        Whether its E-step can be seen by itself.
    only : int or None
        The number of components, where it takes no other.
    """

    kind = ""
    text = ""
    from_start = True
    one_sequence: bool | None = None
    is_pair = False
    only: int | None = None

    def told(self) -> str:
        """Return how the target is read, where its names alone do not say it."""
        return ""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.fields = field_names(model)
        self.sequences = bool(model.shows.SEQUENCES)
        self.changed: set[str] = set()

    def data(self, given: Any) -> Any:
        """Return the data as the target takes them."""
        if not self.sequences:
            return np.array(given, dtype=np.float64)
        sequences = tuple(np.array(s, dtype=np.int64) for s in given)
        if not self.one_sequence:
            return sequences
        if len(sequences) > 1:
            raise ValueError("this target takes a single sequence")
        return sequences[0]

    def iterate(self, start: Arrays, data: Any, iterations: int) -> Answer:
        """Return the parameters after so many iterations from the start."""
        raise NotImplementedError

    def expect(self, start: Arrays, data: Any) -> dict[str, Any]:
        """Return what the E-step expects, as far as it is recognised."""
        raise NotImplementedError

    @property
    def counted(self) -> bool:
        """Whether its own fit can be given a number of iterations."""
        return False

    def configured(
        self,
        data: Any,
        n_components: int,
        n_features: int | None,
        seed: int,
        iterations: int | None = None,
    ) -> Answer:
        """Return its own fit, from its own start; after so many iterations, if it is counted."""
        raise NotImplementedError


def begin_alike(seed: int) -> None:
    """Let what draws its start from the modules' own generators draw the same start again."""
    random.seed(seed)
    np.random.seed(seed)


class Step(Adapter):
    """A function of one iteration."""

    kind = "step function"

    def __init__(self, model: Any, call: Call) -> None:
        super().__init__(model)
        self.call, self.text, self.changed = call, call.text, call.changed
        self.one_sequence = one_sequence(call) if self.sequences else None

    @override
    def iterate(self, start: Arrays, data: Any, iterations: int) -> Answer:
        answer = Answer(start)
        for _ in range(iterations):
            returned = self.call(**values_of(self.model, answer.parameters, data))
            answer = read(returned, self.fields, self.call.order)
        return answer


class FromStart(Step):
    """A function that iterates from given parameters."""

    kind = "fit function, from a given start"

    @override
    def iterate(self, start: Arrays, data: Any, iterations: int) -> Answer:
        if not iterations:
            return Answer(start)
        returned = self.call(**values_of(self.model, start, data, iterations))
        return read(returned, self.fields, self.call.order)


class Fit(Step):
    """A function that fits, from a start of its own."""

    kind = "fit function, from its own start"
    from_start = False

    @property
    @override
    def counted(self) -> bool:
        return self.call.takes("iterations")

    @override
    def configured(
        self,
        data: Any,
        n_components: int,
        n_features: int | None,
        seed: int,
        iterations: int | None = None,
    ) -> Answer:
        values = {
            "data": data,
            "n_components": n_components,
            "n_features": n_features,
            "seed": seed,
            "reg_covar": 0.0,
        }
        if iterations is not None:
            values |= {"iterations": iterations, "tol": 0.0}
        begin_alike(seed)
        return read(self.call(**values), self.fields, self.call.order)


class Pair(Adapter):
    """An E-step and an M-step."""

    kind = "E-step and M-step"
    is_pair = True

    def __init__(self, model: Any, e_step: Any, m_step: Any) -> None:
        super().__init__(model)
        self.e_step, self.m_step = Call(e_step, model), Call(m_step, model, spare="expectation")
        self.text = f"{self.e_step.text} and {self.m_step.text}"
        self.changed = self.e_step.changed = self.m_step.changed
        self.one_sequence = one_sequence(self.e_step) if self.sequences else None

    def _expected(self, start: Arrays, data: Any) -> tuple[list[Any], float | None]:
        """Return what the M-step is to be given, and the log-likelihood if that came along."""
        returned = self.e_step(**values_of(self.model, start, data))
        wanted = list(self.m_step.roles.values()).count("expectation")
        score = None
        if isinstance(returned, tuple) and type(returned) is tuple and len(returned) > 1:
            *expected, last = returned
            if np.ndim(last) == 0 and isinstance(last, float | np.floating):
                score, returned = float(last), tuple(expected)
                if len(expected) == 1:
                    returned = expected[0]
        if wanted > 1:
            return list(returned), score
        return [returned], score

    @override
    def iterate(self, start: Arrays, data: Any, iterations: int) -> Answer:
        answer = Answer(start)
        for _ in range(iterations):
            expected, _score = self._expected(answer.parameters, data)
            values = values_of(self.model, answer.parameters, data)
            returned = self.m_step(expectation=expected, **values)
            answer = read(returned, self.fields, self.m_step.order)
        if answer.log_likelihood is None:
            answer.log_likelihood = self._expected(answer.parameters, data)[1]
        return answer

    @override
    def expect(self, start: Arrays, data: Any) -> dict[str, Any]:
        expected, _ = self._expected(start, data)
        K = len(next(iter(start.values())))
        found = expected[0]
        if len(expected) == 1 and isinstance(found, tuple) and type(found) is tuple:
            expected = list(found)
            found = expected[0]
        if not self.sequences:
            turned = len(data) != K and np.shape(found) == (K, len(data))
            found = found.T if turned and isinstance(found, np.ndarray) else found
            if isinstance(found, np.ndarray) and found.shape == (len(data), K):
                return {"responsibilities": plain_numbers(found, "responsibilities")}
            if (counts := getattr(found, "counts", None)) is not None and np.shape(counts) == (K,):
                return {"counts": plain_numbers(counts, "counts")}
            return {}
        names = ("starts", "transitions", "emissions")
        if all(hasattr(found, name) for name in names):
            return {name: plain_numbers(getattr(found, name), name) for name in names}
        if isinstance(data, np.ndarray) and isinstance(found, np.ndarray):
            seen: dict[str, Any] = {}
            for array in expected:
                if np.shape(array) == (len(data), K):
                    seen["gamma"] = plain_numbers(array, "gamma")
                elif np.shape(array) == (len(data) - 1, K, K):
                    seen["xi"] = plain_numbers(array, "xi")
            return seen
        return {}


class Estimator(Adapter):
    """An object with a ``fit``, in scikit-learn's or hmmlearn's style."""

    def __init__(self, model: Any, target: Any) -> None:
        super().__init__(model)
        self.target = target
        cls = target if isinstance(target, type) else type(target)
        self.names = [n for n in inspect.signature(cls).parameters if n != "self"]
        self.settable = set(self.names)
        self.text = f"{cls.__module__}.{cls.__qualname__}"
        self.from_start = bool(needed := _needed(self.fields)) and needed <= self.settable
        style = "in hmmlearn's style" if self.sequences else "in scikit-learn's style"
        self.kind = f"estimator {style}"
        if not self.from_start:
            self.kind += ", from its own start"
        self.one_sequence = False

    def make(self, n_components: int, **settings: Any) -> Any:
        """Return a fresh estimator; settings that it does not have are left out."""
        role = {n: role_of(n, self.fields) for n in self.names}
        for name in self.names:
            if role[name] == "n_components":
                settings[name] = n_components
        kept = {k: v for k, v in settings.items() if k in self.settable}
        if isinstance(self.target, type):
            return self.target(**kept)
        made = copy.deepcopy(self.target)
        for name, value in kept.items():
            setattr(made, name, value)
        return made

    def fitted(self, made: Any, data: Any) -> Answer:
        """Return what a fitted estimator holds."""
        found = {name: value for name in self.fields if (value := _held(made, name)) is not None}
        if "variances" in self.fields and "variances" not in found:
            if (sds := _held(made, "sds")) is not None:
                found["variances"] = squared(sds)
            elif hasattr(made, "covariances_"):
                found["variances"] = made.covariances_
        missing = [name for name in self.fields if name not in found]
        if missing:
            raise ValueError(f"after fit() it has no {', '.join(f'{n}_' for n in missing)}")
        arrays = {name: numbers(value, name) for name, value in found.items()}
        if {"means", "variances"} <= set(arrays):  # a mixture in any dimension, used in one
            arrays["means"] = arrays["means"].reshape(-1)
            arrays["variances"] = arrays["variances"].reshape(-1)
        answer = Answer(arrays)
        if hasattr(made, "score"):
            try:
                returned = made.score(*self.arguments(data))
            except ValueError:  # it does not accept what it fitted (rows of zeros, say)
                return answer
            if (score := last(returned)) is not None:
                answer.log_likelihood = score if self.sequences else score * len(data)
        return answer

    def arguments(self, data: Any) -> tuple[Any, ...]:
        """Return the data as ``fit`` takes them."""
        if self.sequences:
            return np.concatenate(data)[:, None], [len(s) for s in data]
        return (data.reshape(len(data), -1),)

    def begin(self, start: Arrays, iterations: int, **settings: Any) -> Any:
        """Return an estimator that will do so many iterations from the start."""
        K = len(next(iter(start.values())))
        if self.sequences:
            V = n_symbols(self.model, start)
            made = self.make(
                K, n_features=V, n_iter=iterations, tol=-np.inf, init_params="", **settings
            )
            for name, array in start.items():
                setattr(made, f"{name}_", np.array(array))
            return made
        covariances = start.get("covariances")
        if covariances is None:
            covariances = start["variances"][:, None, None]
        chosen = {"tol": 0.0, "reg_covar": 0.0, "init_params": "random", "random_state": 0}
        return self.make(
            K,
            max_iter=iterations,
            weights_init=start["weights"] / start["weights"].sum(),
            means_init=start["means"].reshape(K, -1),
            precisions_init=np.linalg.inv(covariances),
            **(chosen | settings),
        )

    @override
    def iterate(self, start: Arrays, data: Any, iterations: int) -> Answer:
        if not iterations:
            return Answer(start)
        return self.fitted(self.begin(start, iterations).fit(*self.arguments(data)), data)

    @property
    @override
    def counted(self) -> bool:
        return "iterations" in self._roles().values()

    def _roles(self) -> dict[str, str | None]:
        return {name: role_of(name, self.fields) for name in self.names}

    @override
    def configured(
        self,
        data: Any,
        n_components: int,
        n_features: int | None,
        seed: int,
        iterations: int | None = None,
    ) -> Answer:
        settings: dict[str, Any] = {"n_features": n_features, "random_state": seed}
        if iterations is not None:
            given = {"iterations": iterations, "tol": 0.0}
            settings |= {n: given[role] for n, role in self._roles().items() if role in given}
        begin_alike(seed)
        made = self.make(n_components, **settings)
        returned = made.fit(*self.arguments(data))
        return self.fitted(made if returned is None else returned, data)


def _needed(fields: tuple[str, ...]) -> set[str]:
    """Return the settings of an estimator that begins where it is told; none if none is known."""
    match fields:
        case "startprob", "transmat", "emissionprob":
            return {"n_iter", "init_params"}
        case "weights", "means", "variances" | "covariances":
            return {"weights_init", "means_init", "precisions_init", "max_iter"}
    return set()


def _held(made: Any, name: str) -> Any:
    """Return the array that an object holds under a name of that role, or None."""
    for alias in (name, *spoken(name)):
        for form in (f"{alias}_", alias):
            value = getattr(made, form, None)
            if value is not None and not callable(value) and np.ndim(value):
                return value
    return None


def recognise(target: Any, model: Any) -> Adapter:
    """Return the adapter for an object.

    Raises
    ------
    TargetError
        If it is nothing that can be validated.
    """
    if isinstance(target, tuple):
        if len(target) != 2 or not all(callable(f) for f in target):
            raise TargetError("two names with a comma between them are an E-step and an M-step")
        return Pair(model, *target)
    if hasattr(target, "e_step") and hasattr(target, "m_step"):
        try:
            made = target() if isinstance(target, type) else target
        except TypeError as error:
            raise TargetError(f"{target.__qualname__} cannot be made: {error}") from None
        return Pair(model, made.e_step, made.m_step)
    if hasattr(target, "fit"):
        return Estimator(model, target)
    if not callable(target):
        raise TargetError(
            f"a {type(target).__name__} is neither a function nor an estimator with a fit()"
        )
    if isinstance(target, type):
        raise TargetError(f"{target.__qualname__} is a class without a fit()")
    call = Call(target, model)
    if not call.takes("data"):
        raise TargetError(f"{call.text} takes no data")
    if not call.from_start:
        return Fit(model, call)
    return FromStart(model, call) if call.takes("iterations") else Step(model, call)
