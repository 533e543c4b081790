"""Random calls of whatever is public in lockstep.models, most of them with something wrong.

Each must end in a result without NaN, in a ValueError or TypeError that this project (or
scikit-learn's validation) raises in words, or in a DegenerateError. ``python tests/fuzz.py 10000``
makes that many calls, with the compiled kernels loaded halfway; ``make fuzz`` runs it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import linecache
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstep import models
from lockstep.models import chunks, em, uncertainty
from lockstep.models.estimators import CategoricalHMM, GaussianMixture
from lockstep.models.fits import PointFit
from lockstep.models.records import DegenerateError, Record

OURS = str(Path(em.__file__).resolve().parent)
NAMES = ("gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm")


def is_in_words(error: BaseException) -> bool:
    """Return whether the error was raised, by a statement, in our code or scikit-learn's."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
    place = str(Path(file).resolve())
    at_home = place.startswith(OURS) or "/sklearn/" in place
    return at_home and linecache.getline(file, line).lstrip().startswith("raise ")


def nans(result) -> bool:
    """Return whether there is a NaN anywhere in what a call returned."""
    if isinstance(result, Record):
        return any(np.isnan(array).any() for array in result.arrays().values())
    if isinstance(result, tuple | list):
        return any(nans(each) for each in result)
    if isinstance(result, np.ndarray | float):
        return np.asarray(result).dtype.kind == "f" and bool(np.isnan(result).any())
    if isinstance(result, PointFit):
        return nans([result.parameters, result.trace])
    fitted = (
        [v for k, v in vars(result).items() if k.endswith("_")] if hasattr(result, "fit") else []
    )
    return any(nans(each) for each in fitted)


def sound(call) -> str:
    """Make a call and return how it ended; raise AssertionError if that is not sound."""
    refusal: Exception | None = None
    with contextlib.ExitStack() as quiet:
        quiet.enter_context(warnings.catch_warnings(action="ignore"))
        quiet.enter_context(contextlib.redirect_stdout(io.StringIO()))
        quiet.enter_context(contextlib.redirect_stderr(io.StringIO()))
        quiet.enter_context(np.errstate(all="ignore"))
        try:
            result = call()
        except DegenerateError:
            return "degenerate"
        except (ValueError, TypeError) as error:
            refusal = error
    if refusal is not None:
        words = f"{type(refusal).__name__}: {refusal}"
        assert is_in_words(refusal), f"not our words: {words}"
        assert str(refusal)
        return "refused"
    assert not nans(result), f"NaN in {result!r}"
    return "result"


def pick(*values):
    return st.sampled_from(values)


class Wrong:
    """Something that is no data at all."""

    def __repr__(self) -> str:
        return "Wrong()"


JUNK = (None, "words", 3, 2.5, (), [], {}, [[1, 2], [3]], [None], ["a", "b"], 1 + 2j, Wrong(), b"x",
    [1 + 2j, 0], float("nan"), np.array(["2020-01-01"], dtype="M8[D]"), np.zeros((0, 2)),
    np.zeros((2, 0)), np.zeros((2, 2, 2)), [object()], [10**400], np.array(5))  # fmt: skip


def dressed(draw, array):
    """Return the array as somebody may have it: its order, type and container."""
    way = draw(pick(*["as it is"] * 4, "f", "strided", "big", "small", "half", "frozen", "list",
        "objects", "masked", "unsigned", "pandas", "nullable", "arrow", "matrix"))  # fmt: skip
    array = np.asarray(array)
    if way == "f":
        return np.asfortranarray(array)
    if way == "strided":
        return np.repeat(array, 2, axis=0)[::2]
    if way == "big":
        return array.astype(array.dtype.newbyteorder(">"))
    with np.errstate(all="ignore"):
        if way == "small":
            return array.astype(np.float32 if array.dtype.kind == "f" else np.int8)
        if way == "half":
            return array.astype(np.float16)
        if way == "unsigned":
            return array.astype(draw(pick(np.uint8, np.uint16, np.uint64)))
    if way == "frozen":
        array = array.copy()
        array.flags.writeable = False
    if way == "list":
        return array.tolist()
    if way == "objects":
        holed = array.astype(object)
        if holed.size and draw(st.booleans()):
            holed.flat[0] = draw(pick(None, pd.NA, np.nan, "a", 2**70, True))
        return holed
    if way == "masked":
        return np.ma.array(array, mask=np.arange(array.size).reshape(array.shape) % 5 == 0)
    if way == "matrix" and array.ndim <= 2:
        return array.view(np.matrix)
    if way in ("pandas", "nullable", "arrow") and array.ndim in (1, 2) and array.size:
        frame = pd.DataFrame(array) if array.ndim == 2 else pd.Series(array)
        frame = frame.rename(columns=str) if array.ndim == 2 else frame
        if way == "nullable":
            frame = frame.convert_dtypes()
        if way == "arrow":
            frame = frame.astype("double[pyarrow]")
        return frame
    return array


ODD = (np.nan, np.inf, -np.inf, 1e200, -1e99, 1e-300, 0.0, -1.0, 1e9, 5e-324)


@st.composite
def tables(draw, D):
    """Return data of a mixture: sound, or with odd values, or nothing of the kind."""
    if draw(st.integers(0, 11)) == 0:
        return draw(pick(*JUNK))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    N = draw(pick(1, 3, 12, 12, 40, 40))
    x = rng.normal(0, 1, (N, D)) + 4 * rng.integers(0, 2, (N, 1))
    x = x * draw(pick(*[1] * 9, 1e-90, 1e60, 1e120)) + draw(pick(*[0] * 7, 1e9))
    for value in draw(st.lists(pick(*ODD), max_size=2)) if draw(st.integers(0, 4)) == 0 else ():
        x[draw(st.integers(0, N - 1)), draw(st.integers(0, D - 1))] = value
    if draw(st.integers(0, 9)) == 0:
        x = x[..., None] if draw(st.booleans()) else x[:, :1]
    if draw(st.integers(0, 9)) == 0:
        x = np.rint(x)
    return dressed(draw, x)


@st.composite
def rows(draw):
    """Return one sequence's symbols."""
    T = draw(pick(1, 1, 2, 5, 20))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    symbols = rng.integers(0, 3, T)
    if draw(st.integers(0, 5)) == 0:
        symbols[draw(st.integers(0, T - 1))] = draw(pick(-1, -2, 3, 10**9, -(10**12), 2**62))
    if draw(st.integers(0, 9)) == 0:
        symbols = symbols + draw(pick(0.0, 0.5, np.nan, np.inf))
    return dressed(draw, symbols)


@st.composite
def data_of(draw, name):
    if name == "categorical_hmm":
        if draw(st.integers(0, 11)) == 0:
            return draw(pick(*JUNK))
        sequences = draw(st.lists(rows(), min_size=draw(pick(0, 1, 1)), max_size=3))
        return draw(pick(tuple, list))(sequences) if draw(st.integers(0, 9)) else draw(rows())
    if name == "gaussian_mixture_1d":
        x = draw(tables(1))
        if (
            isinstance(x, np.ndarray | pd.DataFrame)
            and x.ndim == 2
            and x.size
            and draw(st.integers(0, 19))
        ):
            return x[:, 0] if isinstance(x, np.ndarray) else x[x.columns[0]]
        return x
    return draw(tables(draw(pick(1, 2, 2, 2, 2, 2, 3))))


@st.composite
def parameters_of(draw, name):
    """Return parameters of a model, some with odd entries or shapes."""
    K = draw(pick(1, 2, 2, 3))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    D = V = (
        draw(pick(1, 2, 2, 2, 2, 2, 3))
        if "mixture" in name
        else draw(pick(1, 3, 3, 3, 3, 3, 3, 10))
    )
    fields = {
        "gaussian_mixture_1d": lambda: {
            "weights": rng.dirichlet(np.ones(K)),
            "means": rng.normal(0, 3, K),
            "variances": rng.uniform(0.5, 2, K),
        },
        "gaussian_mixture_2d": lambda: {
            "weights": rng.dirichlet(np.ones(K)),
            "means": rng.normal(0, 3, (K, D)),
            "covariances": np.tile(np.eye(D) * rng.uniform(0.5, 2), (K, 1, 1)),
        },
        "categorical_hmm": lambda: {
            "startprob": rng.dirichlet(np.ones(K)),
            "transmat": rng.dirichlet(np.ones(K), K),
            "emissionprob": rng.dirichlet(np.ones(V), K),
        },
    }[name]()
    if draw(st.integers(0, 3)) == 0:
        field = draw(pick(*fields))
        how = draw(pick("odd", "rounded", "shape", "zero", "scaled", "turned"))
        array = fields[field]
        if how == "odd":
            array.flat[draw(st.integers(0, array.size - 1))] = draw(pick(*ODD))
        elif how == "rounded":
            array = np.round(array, draw(pick(1, 4, 6, 9)))
        elif how == "shape":
            array = array[None] if draw(st.booleans()) else array[:-1]
        elif how == "zero":
            array = np.zeros_like(array)
        elif how == "scaled":
            array = array * draw(pick(1e-200, 1e-300, 1e100, 1e300, 1 + 1e-6, -1))
        else:
            array = array.T
        fields[field] = array
    return fields


WEIGHTS = (None,) * 8 + (
    *("ones", "ones", "mixed", "mixed", "zeros", "short", "words", "table"),
    *(1e307, 1e-320, np.nan, -1.0, 3),
)


def weights_for(kind, number):
    rng = np.random.default_rng(0)
    return {
        "ones": np.ones(number),
        "zeros": np.zeros(number),
        "short": np.ones(max(number - 1, 0)),
        "mixed": rng.integers(0, 3, number),
        "table": np.ones((number, 1)),
    }.get(kind, kind if not isinstance(kind, float) else np.full(number, kind))


def size_of(data):
    try:
        return len(data)
    except TypeError:
        return 0


SETTINGS = {
    "max_iter": (0, 1, 3, 3, -1, "a", 2.5, None),
    "tol": (0.0, -1, 1e-3, "a", np.nan, None, np.inf),
    "accelerate": (True, False),
    "options": ({}, {"reg_covar": 1e-3}, {"reg_covar": "a"}, {"reg_covar": -1}, {"ridge": 1}, None),
    "prior": ("default", "other", 3, None),
    "keep_path": (True, False),
}


@st.composite
def settings_of(draw, name, data):
    chosen = draw(st.lists(pick(*SETTINGS), max_size=draw(pick(0, 0, 1, 2)), unique=True))
    picked = {"max_iter": 3} | {key: draw(pick(*SETTINGS[key])) for key in chosen}
    model = models.load(name)
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        if picked.get("prior") == "default":
            try:
                picked["prior"] = model.Prior.defaults(np.asarray(data, float), 2)
            except Exception:  # noqa: BLE001 - of hostile data there is none
                picked["prior"] = None
        elif picked.get("prior") == "other":
            picked["prior"] = (
                model.Prior(np.ones(5))
                if name == "categorical_hmm"
                else model.Prior.of(mean=np.zeros(5), strength=-1, df=3, scale=1)
            )
    return picked


@st.composite
def library_calls(draw):
    """Return a call of the library's functions."""
    name = draw(pick(*NAMES))
    model, data, fields = models.load(name), draw(data_of(name)), draw(parameters_of(name))
    w = weights_for(draw(pick(*WEIGHTS)), size_of(data))
    seed, K = draw(st.integers(0, 5)), draw(pick(1, 2, 2, 2, 2, 3, 0, "a"))
    rng = np.random.default_rng(seed) if draw(st.integers(0, 9)) else None
    options = draw(settings_of(name, data))
    dims = {"n_components": K, "n_features": draw(pick(*[3] * 9, 10**12, "a"))}
    probability = draw(pick(0.95, 0.95, 0.95, 0.5, 0, 1, "a", np.nan))
    what = draw(pick(
        "fit", "fit", "fit", "best", "chunks", "wald", "information", "bootstrap", "e_step",
        "log_likelihood", "check_data", "check_parameters", "sample", "start", "own",
    ))  # fmt: skip

    def P():
        return model.Parameters.of(**fields)

    size = draw(pick(3, 0, -1, "a", 2.5, [2, 3], None))
    rows_each = draw(pick(1, 7, 100, 0, "a"))
    known = {
        "fit": lambda: em.fit(model, P(), data, weights=w, **options),
        "best": lambda: em.fit_best(model, data, dims, n_starts=2, rng=rng, weights=w, **options),
        "chunks": lambda: em.fit_chunks(
            model, P(), chunks.rows(data, rows_each), missing=seed > 2, **options
        ),
        "wald": lambda: without(
            uncertainty.wald(model, P(), data, weights=w, probability=probability)
        ),
        "information": lambda: uncertainty.observed_information(model, P(), data, w),
        "bootstrap": lambda: uncertainty.bootstrap(
            model, P(), data, n=3, rng=rng, kind=KINDS[seed], max_iter=3
        )[1],
        "e_step": lambda: model.e_step(made_sound(model, fields), data, w)[0],
        "log_likelihood": lambda: model.log_likelihood(made_sound(model, fields), data),
        "check_data": lambda: without(model.check_data(data, dims, missing=seed > 2)),
        "check_parameters": lambda: model.Parameters.checked(fields),
        "sample": lambda: model.sample(
            made_sound(model, fields), size, np.random.default_rng(seed)
        ),
        "start": lambda: model.start(
            model.check_chunk(data, {}, missing=True), dims, np.random.default_rng(seed)
        ),
        "own": lambda: own(model, made_sound(model, fields), data),
    }
    return what, known[what], repr((name, data, fields, w, options, dims))


def without(_):
    """Return nothing, where NaN is an answer: no interval, a value that is missing."""


KINDS = ("parametric", "nonparametric", "parametric", "nonparametric", "neither", None)


def made_sound(model, fields):
    """Return parameters as a fit has them: the functions of a model expect no others."""
    return model.Parameters.checked(fields)


def own(model, parameters, data):
    """Return what only one kind of model has."""
    if model.NAME == "categorical_hmm":
        one = data[0] if isinstance(data, tuple | list) and len(data) else data
        return model.forward(parameters, one), model.viterbi(parameters, one)
    return model.responsibilities(parameters, data)


MIXTURE = {
    "n_components": (1, 2, 2, 2, 3, 0, "a", 2.0, 10**9),
    "covariance_type": ("full", "tied", "diag", "spherical", "round", None, 3),
    "tol": (1e-3, 0, -1, "a", np.nan, None),
    "reg_covar": (1e-6, 0, 1e-3, -1, "a", np.inf, 1e300),
    "max_iter": (1, 5, 0, -1, "a", 2.5),
    "n_init": (1, 2, 0, "a"),
    "init_params": ("kmeans", "k-means++", "random", "random_from_data", "best", None, ["kmeans"]),
    "weights_init": (None, [0.5, 0.5], [0.500001, 0.5], [0.5, 0.6], "a", [[1]], [np.nan, 1]),
    "means_init": (None, [[0.0, 0.0], [1, 1]], [[0, 0]], "a", [[1], [2, 3]], [[np.nan, 0], [1, 1]]),
    "precisions_init": (None, "a", np.ones(3), [[1, 0], [0, 1]], [np.eye(2)] * 2, [1.0, 1e-320]),
    "random_state": (0, 0, None, -1, "a", 2.5, 2**40),
    "warm_start": (True, False, "a", None),
    "verbose": (0, 1, "a"),
    "verbose_interval": (1, 0, "a"),
    "missing": (True, True, False, "a", None),
    "prior": (None, 3, "a"),
    "accelerate": (True, False, "a"),
}
HMM = {
    "n_components": (1, 2, 2, 2, 3, 0, "a", 10**6),
    "startprob_prior": (1, 2.0, 0.5, "a", [1, 2], [1, 2, 3, 4], np.nan, None, []),
    "transmat_prior": (1, 2.0, 0.5, "a", [[1, 2]], np.ones((2, 5)), np.inf),
    "emissionprob_prior": (1, 2.0, 0.5, "a", np.ones((7, 7)), [1, 1, 1]),
    "n_features": (None, 3, 3, 0, "a", 10**12),
    "algorithm": ("viterbi", "map", "best", None),
    "random_state": (0, 0, None, -1, "a", 2**40),
    "n_iter": (1, 3, 0, -1, "a"),
    "tol": (1e-2, -1, "a", np.nan, None),
    "verbose": (True, False, "a"),
    "params": ("ste", "", "st", "xyz", 3, None),
    "init_params": ("ste", "", "s", "xyz", 3, None),
    "implementation": ("log", "scaling", "fast", None),
    "n_init": (1, 2, 0, "a"),
    "missing": (True, True, False, "a"),
    "accelerate": (True, False, None),
}


@st.composite
def estimator_calls(draw):
    """Return a call of an estimator's method."""
    mixture = draw(st.booleans())
    arguments = MIXTURE if mixture else HMM
    sound_ones = {"n_components": 2, "random_state": 0} | ({} if mixture else {"n_iter": 3})
    chosen = draw(st.lists(pick(*arguments), max_size=draw(pick(0, 0, 1, 2)), unique=True))
    options = sound_ones | {key: draw(pick(*arguments[key])) for key in chosen}
    X = draw(tables(2)) if mixture else draw(rows() if draw(st.integers(0, 11)) else pick(*JUNK))
    w = weights_for(draw(pick(*WEIGHTS)), size_of(X) if mixture else 1)
    lengths = draw(pick(None, None, None, [1, 1], [0], "a", [[1], [2, 3]], 2.5))
    hand = draw(st.integers(0, 3)) == 0
    fields = draw(parameters_of("gaussian_mixture_2d" if mixture else "categorical_hmm"))
    what = draw(pick("fit", "fit", *(("partial_fit", "fit_predict") if mixture else ("decode",)),
        "score", "score_samples", "predict", "predict_proba", "aic", "bic", "sample"))  # fmt: skip
    n = draw(pick(1, 3, 0, -1, "a", 2.5))
    state = draw(pick(None, 0, 1, -1, 7, "a"))

    def call():
        e = (GaussianMixture if mixture else CategoricalHMM)(**options)
        if what.startswith(("fit", "partial")):
            if hand and not mixture:
                for key, value in fields.items():
                    setattr(e, f"{key}_", value)
            return getattr(e, what)(X, sample_weight=w) if mixture else e.fit(X, lengths, w)
        if hand:
            for key, value in fields.items():
                setattr(e, f"{key}_", value)
            if mixture:
                e.n_features_in_ = 2
                e.precisions_cholesky_ = 1
        elif mixture:
            e.fit(np.random.default_rng(0).normal(0, 1, (20, 2)))
        else:
            e.fit(np.random.default_rng(0).integers(0, 3, 20))
        if what == "sample":
            return e.sample(n) if mixture else e.sample(n, currstate=state)
        if what == "decode":
            return e.decode(X, lengths)[1]
        weighted = {"sample_weight": w} if what in ("score", "aic", "bic", "score_samples") else {}
        return getattr(e, what)(X, *(() if mixture else (lengths,)), **weighted)

    return what, call, repr((mixture, options, X, w, lengths, fields if hand else None))


calls = st.one_of(library_calls(), estimator_calls())


def main(number: int) -> None:
    """Make so many calls and print how they ended."""
    faulthandler.enable()
    ends: dict[str, int] = {}
    begun = time.time()

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(calls)
    def run(made):
        what, call, words = made
        if sum(ends.values()) > number // 2:
            from lockstep.models import hmm_kernels, mixture_kernels  # noqa: F401
        try:
            end = sound(call)
        except BaseException:
            print(f"{what}: {words[:2000]}", file=sys.stderr)
            raise
        ends[end] = ends.get(end, 0) + 1

    run()
    print(f"{sum(ends.values())} calls in {time.time() - begun:.0f} s: {ends}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
