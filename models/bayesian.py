"""From a model's prior to its posterior: draws, densities, and the PyMC graph.

A model's `prior.py` states the prior (`models.priors`); the latent variables are summed out. The
log-likelihood in the graph, with its gradient, is either that of `models.fisher`, the E-step, or
the independent one of its ``stock.py``, PyMC's own by automatic differentiation: the same function,
so the same posterior.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lockstep.models import Data, Model, load, part
from lockstep.models.records import Floats, Parameters

if TYPE_CHECKING:
    import pymc

    from lockstep.models.priors import Prior

type Observed = NDArray[Any]

SCATTER = 0.2
"""Standard deviation of starting points about the model's own, in unconstrained coordinates."""


def prior_of(model: Model) -> Prior | None:
    """Return a model's prior; None if it states none."""
    stated = part(model, "prior")
    return None if stated is None else stated.PRIOR


def _stated(model: Model) -> Prior:
    prior = prior_of(model)
    if prior is None:
        raise ValueError(f"{model.TITLE} states no prior: there is no posterior")
    return prior


def describe(model: str, prior: Prior | None = None) -> dict[str, str]:
    """Return the prior of each field of a model's parameters in words."""
    module = load(model)
    return (prior or _stated(module)).words(module.Parameters)


def identification(model: str) -> str:
    """Return in words what tells one label from another."""
    for name, family in _stated(load(model)).families.items():
        if getattr(family, "ordered", False):
            return f"the prior orders the {name}"
    return "exchangeable prior: nothing identifies the labels"


def shapes(model: Model, dims: Mapping[str, int], columns: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each field; `columns` is the number D of coordinates."""
    sizes = {"K": dims["n_components"], "V": dims.get("n_features", 0), "D": columns}
    spaces = model.Parameters.SPACES
    return {name: tuple(sizes[axis] for axis in space.axes) for name, space in spaces.items()}


def _columns(x: Any) -> int:
    """Return the number of coordinates of an observation."""
    return int(x.shape[1]) if getattr(x, "ndim", 1) == 2 else 1


def _location_and_scale(prior: Prior, data: Data | None) -> tuple[Any, Any]:
    """Return what the prior's scale is measured in: mean and sd of each column, or 0 and 1."""
    if data is None or not prior.standardised:
        return 0.0, 1.0
    x = np.asarray(data, dtype=np.float64)
    if np.isnan(x).any():
        return np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    return x.mean(axis=0), x.std(axis=0)


def _rescaled(parameters: Parameters, centre: Any, scale: Any) -> Parameters:
    """Return parameters of z as those of ``centre + scale * z``."""
    spaces = parameters.SPACES
    arrays = parameters.arrays().items()
    return type(parameters)(**{n: spaces[n].rescaled(a, centre, scale) for n, a in arrays})


def draws(
    model: str,
    dims: Mapping[str, int],
    data: Data | None,
    n: int,
    rng: np.random.Generator,
    prior: Prior | None = None,
) -> Parameters:
    """Return parameters drawn from the prior, with one leading axis.

    Parameters
    ----------
    model : str
        The model's name.
    dims : mapping of str to int
        Its sizes.
    data : Data or None
        Give a standardised prior its location and scale: no more of them is used. Without them
        the draws are on the prior's own scale, and `dims` has an entry ``n_columns``.
    n : int
        How many draws.
    rng : numpy.random.Generator
    prior : Prior, optional
        Another than the model's own.

    Raises
    ------
    ValueError
        If the model states no prior.
    """
    module = load(model)
    prior = prior or _stated(module)
    columns = dims.get("n_columns", 1) if data is None else _columns(data)
    shape = shapes(module, dims, columns)
    drawn = {name: family.draw(shape[name], n, rng) for name, family in prior.families.items()}
    return _rescaled(module.Parameters(**drawn), *_location_and_scale(prior, data))


def log_density(model: str, parameters: Parameters, data: Data) -> float:
    """Return the log-density of the prior at parameters, on the scale that it is stated on."""
    prior = _stated(load(model))
    centre, scale = _location_and_scale(prior, data)
    z = _rescaled(parameters, -centre / scale, 1 / scale).arrays()
    return sum(family.log_density(z[name]) for name, family in prior.families.items())


def observations(model: str, data: Data, *, standardise: bool = True) -> dict[str, Observed]:
    """Return the data as the `pm.Data` containers of the model's graph hold them.

    Parameters
    ----------
    model : str
        The model's name.
    data : Data
        As the model's `check_data` returns them.
    standardise : bool, optional
        Whether the data are to be brought to the scale of the prior, or are on it already.

    Returns
    -------
    dict of str to ndarray
        Of sequences the ``symbols`` of all, one after the other, and their ``lengths``; where the
        prior is on their scale the standardised data ``z``, and the ``centre`` and ``scale`` that
        undo it; else the data ``x``.
    """
    if isinstance(data, tuple):
        return {
            "symbols": np.concatenate([np.asarray(sequence) for sequence in data]),
            "lengths": np.array([len(sequence) for sequence in data]),
        }
    prior, x = _stated(load(model)), np.asarray(data)
    if not prior.standardised:
        return {"x": x}
    centre, scale = _location_and_scale(prior, x)
    if not standardise:
        centre, scale = np.zeros_like(centre), np.ones_like(scale)
    return {"z": (x - centre) / scale, "centre": centre, "scale": scale}


def build(
    model: str,
    dims: Mapping[str, int],
    observed: Mapping[str, Observed],
    *,
    stock: bool = False,
    prior: Prior | None = None,
) -> pymc.Model:
    """Build the PyMC graph of a model.

    Parameters
    ----------
    model : str
        The model's name.
    dims : mapping of str to int
        Its sizes, as in a `Problem`.
    observed : mapping of str to ndarray
        What `observations` returns; `pm.set_data` may replace it by others, of the same number of
        columns.
    stock : bool, optional
        Whether the log-likelihood is that of the model's ``stock.py``. Then a hidden Markov model
        takes at most as many symbols as its `padded` makes of these.
    prior : Prior, optional
        Another than the model's own.

    Returns
    -------
    pymc.Model
        With the model's parameters as variables, under the names of the `Parameters` fields;
        those on the scale of standardised data have ``standard_`` before their names.
    """
    import pymc as pm
    import pytensor.tensor as pt

    module = load(model)
    prior, spaces = prior or _stated(module), module.Parameters.SPACES
    shape = shapes(module, dims, _columns(next(iter(observed.values()))))
    with pm.Model(check_bounds=False) as graph:
        data = {name: _container(name, array) for name, array in observed.items()}
        centre, scale = data.pop("centre", 0.0), data.pop("scale", 1.0)
        values: dict[str, Any] = {}
        for name, family in prior.families.items():
            values |= family.variables(_variable(prior, module, name), name, shape[name])
        seen = {"x": data["z"]} if prior.standardised else data
        value = _log_likelihood(module, seen | values, stock=stock)
        if prior.standardised:
            value = value - data["z"].shape[0] * pt.log(scale).sum()
        pm.Potential("log_likelihood", value)
        for name in [name for name in spaces if name not in graph.named_vars]:
            pm.Deterministic(name, spaces[name].rescaled(values[name], centre, scale))
    return graph


def _container(name: str, array: Observed) -> Any:
    """Return data in the graph; of a table the number of rows may change."""
    import pymc as pm

    shape: tuple[int | None, ...] | None = None
    if array.ndim == 2:
        shape = (None, array.shape[1])
    elif name in ("centre", "scale") and array.ndim:
        shape = array.shape
    return pm.Data(name, array, shape=shape)


def _variable(prior: Prior, model: Model, name: str) -> str:
    """Return what the random variable of a field is called."""
    moves = prior.standardised and model.Parameters.SPACES[name].in_units
    return f"standard_{name}" if moves else name


def _log_likelihood(model: Model, values: Mapping[str, Any], *, stock: bool) -> Any:
    """Return the log-likelihood as a tensor.

    Parameters
    ----------
    model : Model
    values : mapping of str to TensorVariable
        Data and parameters by name, also in forms of which a function takes only some.
    stock : bool

    Raises
    ------
    ValueError
        If the model has none of PyMC's own.
    """
    own = part(model, "stock" if stock else "graph")
    if own is not None:
        taken = signature(own.log_likelihood).parameters
        return own.log_likelihood(**{name: values[name] for name in taken if name in values})
    if stock:
        raise ValueError(f"{model.TITLE} has no log-likelihood in PyMC's own terms")
    from lockstep.models import fisher

    return fisher.log_likelihood(model, **values)


def start(
    model: str, dims: Mapping[str, int], data: Data, rng: np.random.Generator
) -> dict[str, Floats]:
    """Return a random place to start sampling, by value variable, on the unconstrained scale.

    It scatters about where the model's `prior.start` says.

    Parameters
    ----------
    model : str
        The model's name.
    dims : mapping of str to int
        Its sizes.
    data : Data
        The training data.
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to ndarray
    """
    module = load(model)
    prior = _stated(module)
    centre, scale = _location_and_scale(prior, data)
    rough: Parameters = part(module, "prior").start(data, dims, rng)
    z = _rescaled(rough, -centre / scale, 1 / scale).arrays()
    point: dict[str, Floats] = {}
    for name, family in prior.families.items():
        point |= family.coordinates(_variable(prior, module, name), z[name])
    return {name: value + rng.normal(0, SCATTER, value.shape) for name, value in point.items()}
