"""Python targets: what an object is, and how it is called.

A function is read by the names of its arguments: ``em(data, mu, sigma, pi, n_iterations)`` says
all that is needed. Two arguments of other names are ``(parameters, data)``.
"""

from __future__ import annotations

import copy
import difflib
import importlib
import importlib.util
import inspect
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, override

import numpy as np

from lockstep import models
from lockstep.comparisons.legible import said
from lockstep.models.records import Floats, Record

type Arrays = dict[str, Floats]


class TargetError(Exception):
    """The target is not there, or cannot be called; the message says what to change."""


# --- names -----------------------------------------------------------------------------------

ALIASES = {
    "weights": "weights weight w pi pis mixing mixing_coefficients mixing_weights phi priors",
    "means": "means mean mu mus m centers centres",
    "variances": "variances variance var vars sigma2 sigmasq sigma_sq sigma_squared v",
    "sds": "sds sd sigma sigmas std stds stddev stddevs standard_deviations scale scales",
    "covariances": "covariances covariance cov covs covars sigma sigmas",
    "startprob": "startprob start_prob pi initial initial_probs initial_distribution pi0",
    "transmat": "transmat trans_mat a transitions transition transition_matrix trans",
    "emissionprob": "emissionprob emission_prob b emissions emission emission_matrix emit",
}
"""Names under which a field goes; `sds` are standard deviations in place of variances."""

ROLES = {
    "data": "data x xs obs observations obs_seq observation_sequence symbols samples sequence "
    "sequences seqs points y o",
    "parameters": "parameters params theta",
    "iterations": "iterations n_iter n_iters n_iterations num_iterations num_iter max_iter "
    "max_iters max_iterations iters steps n_steps epochs",
    "n_components": "n_components n_states k components n_clusters num_components",
    "n_features": "n_features n_symbols n_obs v n_emissions",
    "seed": "seed random_state",
    "tol": "tol tolerance epsilon eps threshold",
    "reg_covar": "reg_covar reg ridge",
}
"""Names of the other arguments. A tolerance and a ridge are given as 0."""

ONE_SEQUENCE = {"obs_seq", "observation_sequence", "sequence", "symbols"}
MANY_SEQUENCES = {"sequences", "seqs"}


def _plain(name: str) -> str:
    name = name.lower().strip("_")
    return re.sub(r"^(init|old|new|start)_|_(init|old|new|start|k|hat)$|_?0$", "", name)


def _role(name: str, names: Sequence[str]) -> str | None:
    """Return what an argument or an attribute of that name is, for a model with these fields."""
    known = [*names, *(["sds"] if "variances" in names else [])]
    for form in (name.lower().strip("_"), _plain(name)):
        for role in known:
            if form in ALIASES[role].split():
                return role
        for role, forms in ROLES.items():
            if form in forms.split():
                return role
    return None


def field_names(model: Any) -> tuple[str, ...]:
    """Return the names of a model's parameters."""
    return tuple(f.name for f in fields(model.Parameters))


# --- loading ---------------------------------------------------------------------------------


def load(target: str, folder: Path) -> Any:
    """Return the object that ``package.module:object`` or ``path/to/file.py:object`` names.

    Parameters
    ----------
    target : str
        Two names with a comma between them give a tuple: ``em.py:e_step,m_step``.
    folder : Path
        Where paths and modules are looked for first.

    Raises
    ------
    TargetError
    """
    place, colon, names = target.rpartition(":")
    if not colon or not place or not names:
        raise TargetError(
            f"{target!r} does not name an object: give package.module:object or "
            "path/to/file.py:object"
        )
    module = _module(place, folder)
    found = tuple(_attribute(module, name.strip(), place) for name in names.split(","))
    return found[0] if len(found) == 1 else found


def _module(place: str, folder: Path) -> types.ModuleType:
    sys.path.insert(0, str(folder))
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = (folder / place).resolve()
        if not path.is_file():
            raise TargetError(f"there is no file {place}")
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        spec.loader.exec_module(module)
    except TargetError:
        raise
    except BaseException as error:
        raise TargetError(f"{place} cannot be imported: {said(error)}") from error
    return module


def _attribute(module: Any, name: str, place: str) -> Any:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(found) if not n.startswith("_")]
            near = difflib.get_close_matches(part, public, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TargetError(f"{place} has no {name!r}{hint}")
        found = getattr(found, part)
    return found


# --- what a candidate is given and gives back ---------------------------------------------------


def given(model: Any, arrays: Mapping[str, Floats]) -> Any:
    """Return the model's parameters as a candidate gets them.

    They are the model's own record, with arrays that may be written to, and can also be indexed
    by name and unpacked in order: ``weights, means, variances = parameters``.
    """

    def values(self: Any) -> Iterator[Floats]:
        return iter(self.arrays().values())

    def item(self: Any, name: str) -> Floats:
        return self.arrays()[name]  # type: ignore[no-any-return]

    kind = type("Parameters", (model.Parameters,), {"__iter__": values, "__getitem__": item})
    made = kind(**arrays)
    for name, array in arrays.items():
        object.__setattr__(made, name, np.array(array, dtype=np.float64))
    return made


NO_NUMBERS = {
    "b": "truth values",
    "c": "complex numbers",
    "m": "durations",
    "M": "dates",
    "O": "objects of Python",
    "S": "bytes",
    "T": "text",
    "U": "text",
    "V": "records",
}
"""What an array holds that is no array of real numbers, by the kind of its type."""

MOST = 2**20
"""Numbers that an answer may hold."""


def _numbers(value: Any, name: str) -> Any:
    """Return an array of real numbers, or say what it is in place of one."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        masked = int(np.ma.getmaskarray(value).sum())
        raise ValueError(f"the {name} returned are masked, in {masked} of {value.size} places")
    array = np.asarray(value)
    if array.dtype.kind in NO_NUMBERS:
        what = NO_NUMBERS[array.dtype.kind]
        if array.dtype.kind == "O" and not array.ndim:
            what = f"a {type(value).__name__:.80}"
        raise ValueError(f"the {name} returned are no array of numbers but {what}")
    if array.size > MOST:
        raise ValueError(f"the {name} returned have the shape {array.shape}: too large to be right")
    return array


def _plain_numbers(value: Any, name: str) -> Any:
    return np.asarray(_numbers(value, name), np.float64).tolist()


@dataclass
class Answer:
    """What a candidate returned: fields as arrays, and a log-likelihood if there was one."""

    parameters: Arrays
    log_likelihood: float | None = None
    halves: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the answer in JSON's types."""
        said: dict[str, Any] = {
            "parameters": {
                k: np.asarray(a, np.float64).tolist() for k, a in self.parameters.items()
            }
        }
        if self.log_likelihood is not None:
            said["log_likelihood"] = self.log_likelihood
        return said


def read(returned: Any, names: Sequence[str], order: Sequence[str]) -> Answer:
    """Return what was returned, by the model's names.

    Parameters
    ----------
    returned : object
        Something with the fields as attributes or keys, or a tuple of them in `order`, which a
        log-likelihood (the last, if it is a list) may follow.
    names : sequence of str
    order : sequence of str
        May have ``sds`` in place of ``variances``.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    rest: list[Any] = []
    found: dict[str, Any] = {}
    if isinstance(returned, Mapping):
        for key, value in returned.items():
            found[_role(str(key), names) or str(key)] = value
    elif all(hasattr(returned, name) for name in names):
        found = {name: getattr(returned, name) for name in names}
    elif isinstance(returned, tuple | list):
        # (parameters, log-likelihood): the first is read as any record is
        if len(returned) == 2 < len(order) and _holds_fields(returned[0], len(order)):
            inner = read(returned[0], names, order)
            inner.log_likelihood = _last(returned[1])
            return inner
        if len(returned) < len(order):
            raise ValueError(f"{len(returned)} values were returned; expected {', '.join(order)}")
        found = dict(zip(order, returned))
        rest = list(returned[len(order) :])
    elif hasattr(returned, "__dict__"):
        for key, value in vars(returned).items():
            if (role := _role(key, names)) is not None:
                found.setdefault(role, value)
    if "sds" in found and "variances" not in found:
        found["variances"] = np.asarray(_numbers(found["sds"], "sds"), np.float64) ** 2
    missing = [name for name in names if name not in found]
    if missing:
        what = "None" if returned is None else f"a {type(returned).__name__}"
        raise ValueError(f"{what} was returned, without {', '.join(missing)}")
    answer = Answer({name: _numbers(found[name], name) for name in names})
    answer.halves = [k for k in order if _is_short(found.get(k))]
    for value in (*rest, *(found.get(k) for k in LOG_LIKELIHOODS)):
        if value is not None and answer.log_likelihood is None:
            answer.log_likelihood = _last(value)
    return answer


def _is_short(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize < 8


LOG_LIKELIHOODS = ("log_likelihood", "loglik", "ll", "log_lik", "log_likelihoods", "logl")


def _holds_fields(value: Any, number: int) -> bool:
    """Return whether a value is a record of parameters, and no array of numbers."""
    if isinstance(value, tuple | list):
        return len(value) >= number and np.ndim(value[0]) > 0
    return isinstance(value, Mapping) or (
        hasattr(value, "__dict__") and not isinstance(value, np.ndarray)
    )


def _last(value: Any) -> float | None:
    """Return a log-likelihood, or the last of a trace; None if it is neither."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    masked = isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any()
    beyond = isinstance(value, int) and array.dtype.kind == "O"  # too many digits for a double
    if masked or beyond or array.dtype.kind == "c":
        what = "is masked" if masked else "has too many digits" if beyond else "is complex"
        raise ValueError(f"the log-likelihood returned is no number: it {what}")
    if array.dtype.kind not in "fiu":
        return None
    if array.ndim == 1 and len(array):
        array = array[-1]
    return float(array) if array.ndim == 0 else None


# --- functions --------------------------------------------------------------------------------


def _arrays(value: Any) -> list[Any]:
    """Return the arrays of which a value consists; none if it is not data or parameters."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, Record):
        return list(value.arrays().values())
    if isinstance(value, tuple | list):
        return [array for item in value for array in _arrays(item)]
    return []


def copies(value: Any) -> list[Any]:
    """Return a copy of each array of which a value consists."""
    return [array.copy() for array in _arrays(value)]


def same(value: Any, before: list[Any]) -> bool:
    """Return whether the arrays of a value are still what they were, NaN for NaN."""
    pairs = zip(_arrays(value), before)
    return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def _by_place(parameters: Any, data: Any) -> None:
    """Stand for a function that does not say what it takes."""


class Call:
    """How a function is called: which of its arguments is what.

    Parameters
    ----------
    function : callable
    model : Model
    spare : str, optional
        The role of arguments that have no known name (the M-step's expectations).

    Attributes
    ----------
    roles : dict
        What each argument that will be given is, by its name.
    order : tuple of str
        The fields in the order of the arguments; in that of the model if it takes a record.

    Raises
    ------
    TargetError
        If the meaning of an argument is not known.
    """

    def __init__(self, function: Callable[..., Any], model: Any, spare: str | None = None) -> None:
        self.function = function
        self.fields = field_names(model)
        name = getattr(function, "__name__", type(function).__name__)
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # compiled, and silent about itself
            signature = inspect.signature(_by_place)
        arguments = [
            a
            for a in signature.parameters.values()
            if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)
        ]
        needed = [a for a in arguments if a.default is a.empty]
        known = {a.name: _role(a.name, self.fields) for a in arguments}
        places = [a.name for a in needed if known[a.name] != "iterations"]
        several = (*self.fields, "sds")
        if spare is None and len(places) == 2 and not any(known[n] in several for n in places):
            # By place, unless a name says otherwise.
            first, second = (known[n] for n in places)
            if first not in ("data", "n_components") and second != "n_components":
                known[places[0]], known[places[1]] = "parameters", "data"
            elif first == "data" and second != "n_components":
                known[places[1]] = "parameters"
        for a in needed:
            if known[a.name] is None:
                if spare is None:
                    raise TargetError(
                        f"{name}{signature}: what is {a.name!r}? Known names are data, "
                        f"parameters, {', '.join(self.fields)}, iterations, n_components; two "
                        "arguments of other names are (parameters, data)"
                    )
                known[a.name] = spare
        self.roles = {
            a.name: role
            for a in arguments
            if (role := known[a.name]) is not None
            and (a.default is a.empty or role not in ("data", "parameters", *several))
        }
        self.changed: set[str] = set()
        self.by_place = [a.name for a in arguments if a.kind is a.POSITIONAL_ONLY]
        own = [r for r in self.roles.values() if r in several]
        self.order = tuple(own) if own else self.fields
        taken = {"variances" if role == "sds" else role for role in own}
        if own and taken != set(self.fields):
            lacks = [field for field in self.fields if field not in taken]
            raise TargetError(f"{name}{signature} takes no {', '.join(lacks)}")
        self.text = f"{name}{signature}"

    def takes(self, role: str) -> bool:
        """Return whether it has such an argument."""
        return role in self.roles.values()

    @property
    def from_start(self) -> bool:
        """Whether it takes parameters to begin from."""
        return self.takes("parameters") or self.takes(self.fields[0])

    def __call__(self, **values: Any) -> Any:
        """Call it with what each role stands for; spare ones are a list."""
        spare = list(values.pop("expectation", ()))
        arguments = {}
        for name, role in self.roles.items():
            if role == "expectation":
                arguments[name] = spare.pop(0)
            elif role in values:
                arguments[name] = values[role]
        before = {name: copies(value) for name, value in arguments.items()}
        placed = [arguments[name] for name in self.by_place if name in arguments]
        named = {k: v for k, v in arguments.items() if k not in self.by_place}
        returned = self.function(*placed, **named)
        for name, value in arguments.items():
            if not same(value, before[name]):
                self.changed.add("data" if self.roles[name] == "data" else "parameters")
        return returned


def _values(model: Any, start: Arrays, data: Any, iterations: int = 1) -> dict[str, Any]:
    """Return what stands for each role, fresh copies all."""
    values: dict[str, Any] = {"data": data, "parameters": given(model, start)}
    values |= {name: np.array(array) for name, array in start.items()}
    if "variances" in start:
        with np.errstate(invalid="ignore"):
            values["sds"] = np.sqrt(start["variances"])
    values |= {"iterations": iterations, "tol": 0.0, "reg_covar": 0.0}
    K = len(next(iter(start.values())))
    values |= {"n_components": K, "seed": 0}
    if "emissionprob" in start:
        values["n_features"] = start["emissionprob"].shape[-1]
    return values


# --- adapters ---------------------------------------------------------------------------------


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
    """

    kind = ""
    text = ""
    from_start = True
    one_sequence: bool | None = None

    def __init__(self, model: Any) -> None:
        self.model = model
        self.fields = field_names(model)
        self.hmm = "emissionprob" in self.fields
        self.changed: set[str] = set()

    def data(self, given: Any) -> Any:
        """Return the data as the target takes them."""
        if not self.hmm:
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

    def configured(self, data: Any, n_components: int, n_features: int | None, seed: int) -> Answer:
        """Return its own fit, from its own start."""
        raise NotImplementedError


class Step(Adapter):
    """A function of one iteration."""

    kind = "step function"

    def __init__(self, model: Any, call: Call) -> None:
        super().__init__(model)
        self.call, self.text, self.changed = call, call.text, call.changed
        self.one_sequence = _by_name(call) if self.hmm else None

    @override
    def iterate(self, start: Arrays, data: Any, iterations: int) -> Answer:
        answer = Answer(start)
        for _ in range(iterations):
            returned = self.call(**_values(self.model, answer.parameters, data))
            answer = read(returned, self.fields, self.call.order)
        return answer


class FromStart(Step):
    """A function that iterates from given parameters."""

    kind = "fit function, from a given start"

    @override
    def iterate(self, start: Arrays, data: Any, iterations: int) -> Answer:
        if not iterations:
            return Answer(start)
        returned = self.call(**_values(self.model, start, data, iterations))
        return read(returned, self.fields, self.call.order)


class Fit(Step):
    """A function that fits, from a start of its own."""

    kind = "fit function, from its own start"
    from_start = False

    @override
    def configured(self, data: Any, n_components: int, n_features: int | None, seed: int) -> Answer:
        values = {
            "data": data,
            "n_components": n_components,
            "n_features": n_features,
            "seed": seed,
        }
        return read(self.call(**values), self.fields, self.call.order)


def _by_name(call: Call) -> bool | None:
    for name, role in call.roles.items():
        if role == "data" and name.lower() in ONE_SEQUENCE | MANY_SEQUENCES:
            return name.lower() in ONE_SEQUENCE
    return None


class Pair(Adapter):
    """An E-step and an M-step."""

    kind = "E-step and M-step"

    def __init__(self, model: Any, e_step: Any, m_step: Any) -> None:
        super().__init__(model)
        self.e_step, self.m_step = Call(e_step, model), Call(m_step, model, spare="expectation")
        self.text = f"{self.e_step.text} and {self.m_step.text}"
        self.changed = self.e_step.changed = self.m_step.changed
        self.one_sequence = _by_name(self.e_step) if self.hmm else None

    def _expected(self, start: Arrays, data: Any) -> tuple[list[Any], float | None]:
        """Return what the M-step is to be given, and the log-likelihood if that came along."""
        returned = self.e_step(**_values(self.model, start, data))
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
            values = _values(self.model, answer.parameters, data)
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
        if not self.hmm:
            if isinstance(found, np.ndarray) and found.shape == (len(data), K):
                return {"responsibilities": _plain_numbers(found, "responsibilities")}
            if (counts := getattr(found, "counts", None)) is not None and np.shape(counts) == (K,):
                return {"counts": _plain_numbers(counts, "counts")}
            return {}
        names = ("starts", "transitions", "emissions")
        if all(hasattr(found, name) for name in names):
            return {name: _plain_numbers(getattr(found, name), name) for name in names}
        if isinstance(data, np.ndarray) and isinstance(found, np.ndarray):
            seen: dict[str, Any] = {}
            for array in expected:
                if np.shape(array) == (len(data), K):
                    seen["gamma"] = _plain_numbers(array, "gamma")
                elif np.shape(array) == (len(data) - 1, K, K):
                    seen["xi"] = _plain_numbers(array, "xi")
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
        style = "hmmlearn" if self.hmm else "scikit-learn"
        needed = (
            {"n_iter", "init_params"}
            if self.hmm
            else {"weights_init", "means_init", "precisions_init", "max_iter"}
        )
        self.from_start = needed <= self.settable
        self.kind = f"estimator in {style}'s style"
        if not self.from_start:
            self.kind += ", from its own start"
        self.one_sequence = False

    def make(self, n_components: int, **settings: Any) -> Any:
        """Return a fresh estimator; settings that it does not have are left out."""
        role = {n: _role(n, self.fields) for n in self.names}
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
                found["variances"] = np.asarray(_numbers(sds, "sds"), np.float64) ** 2
            elif hasattr(made, "covariances_"):
                found["variances"] = made.covariances_
        missing = [name for name in self.fields if name not in found]
        if missing:
            raise ValueError(f"after fit() it has no {', '.join(f'{n}_' for n in missing)}")
        arrays = {name: _numbers(value, name) for name, value in found.items()}
        if "variances" in arrays:  # a mixture in any dimension, used in one
            arrays["means"] = arrays["means"].reshape(-1)
            arrays["variances"] = arrays["variances"].reshape(-1)
        answer = Answer(arrays)
        if hasattr(made, "score"):
            try:
                returned = made.score(*self.arguments(data))
            except ValueError:  # it does not accept what it fitted (rows of zeros, say)
                return answer
            if (score := _last(returned)) is not None:
                answer.log_likelihood = score if self.hmm else score * len(data)
        return answer

    def arguments(self, data: Any) -> tuple[Any, ...]:
        """Return the data as ``fit`` takes them."""
        if self.hmm:
            return np.concatenate(data)[:, None], [len(s) for s in data]
        return (data.reshape(len(data), -1),)

    def begin(self, start: Arrays, iterations: int, **settings: Any) -> Any:
        """Return an estimator that will do so many iterations from the start."""
        K = len(next(iter(start.values())))
        if self.hmm:
            V = start["emissionprob"].shape[-1]
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

    @override
    def configured(self, data: Any, n_components: int, n_features: int | None, seed: int) -> Answer:
        made = self.make(n_components, n_features=n_features, random_state=seed)
        returned = made.fit(*self.arguments(data))
        return self.fitted(made if returned is None else returned, data)


def _held(made: Any, name: str) -> Any:
    """Return the array that an object holds under a name of that role, or None."""
    for alias in (name, *ALIASES[name].split()):
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
        made = target() if isinstance(target, type) else target
        return Pair(model, made.e_step, made.m_step)
    if hasattr(target, "fit"):
        return Estimator(model, target)
    if not callable(target):
        raise TargetError(
            f"a {type(target).__name__} is neither a function nor an estimator with a fit()"
        )
    call = Call(target, model)
    if not call.takes("data"):
        raise TargetError(f"{call.text} takes no data")
    if not call.from_start:
        return Fit(model, call)
    return FromStart(model, call) if call.takes("iterations") else Step(model, call)


def quiet() -> None:
    """Silence what libraries say on the side: the verdict says it."""
    import logging

    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    logging.getLogger("hmmlearn").setLevel(logging.CRITICAL)


def model_named(name: str) -> Any:
    """Return the model of that name."""
    return models.load(name)
