"""Priors, and the three models as PyMC graphs with the latent variables summed out.

Priors are PyMC's distributions. The log-likelihood, with its gradient, is either that of
`models.fisher`, the E-step, or the independent one of `models.stock`, PyMC's own by automatic
differentiation: the same function, so the same posterior.

Gaussian mixtures
    Each column of the data is standardised, z = (x - mean) / sd, and the priors are on that
    scale, so they mean the same for data in any unit. With K components in D dimensions

        weights       ~ Dirichlet(2, ..., 2)
        mean of z_k   ~ Normal(0, 2^2) in each dimension
        cov of z_k    ~ inverse-Wishart(D + 2), with expectation 0.1 I

    For D = 1 the last is an inverse gamma: a component cannot collapse onto one observation,
    which would make the likelihood infinite (and, with ties, the posterior improper). It is
    written by Bartlett's decomposition of the precision, A A' with A upper triangular,
    A_ii^2 ~ chi^2(3 + i) for i = 0, ..., D - 1, A_ij ~ Normal(0, 1): independent, unconstrained,
    and the inverse of A' is the Cholesky factor of the covariance.

Categorical hidden Markov model
    Every row of startprob, transmat and emissionprob ~ Dirichlet(1, ..., 1): uniform.

References
----------
Bartlett (1934), Proc. Cambridge Philos. Soc. 30, 327-340.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lockstep.models import Data
from lockstep.models.records import Floats, Integers

if TYPE_CHECKING:
    from pymc import Model
    from pytensor.tensor import TensorVariable

type Observed = NDArray[Any]

# Standard deviation of a mixture's starting points about the k-means split, unconstrained.
SCATTER = 0.2


@dataclass(frozen=True)
class Priors:
    """The constants of all priors; the mixtures' are on the scale of the standardised data.

    Attributes
    ----------
    weights : float
        Dirichlet concentration of the mixture weights.
    mean_sd : float
        Standard deviation of a component's mean, in each dimension.
    expected_variance : float
        Expected variance of a component, in each dimension.
    covariance_df : int
        Degrees of freedom of the inverse-Wishart beyond the number of dimensions.
    rows : float
        Dirichlet concentration of the rows of the HMM's three stochastic arrays.
    """

    weights: float = 2.0
    mean_sd: float = 2.0
    expected_variance: float = 0.1
    covariance_df: int = 2
    rows: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < np.inf:
                raise ValueError(
                    f"{field.name} is {value}: that prior is improper; give a positive number"
                )
        if self.covariance_df <= 1:
            raise ValueError(
                f"covariance_df is {self.covariance_df}: with 1 or less a variance has no "
                "expectation to set; give more"
            )

    @property
    def covariance_scale(self) -> float:
        """The inverse-Wishart scale matrix is this times I: expectation x (df - 1)."""
        return self.expected_variance * (self.covariance_df - 1)


PRIORS = Priors()


def describe(model: str, priors: Priors = PRIORS) -> dict[str, str]:
    """Return the priors of a model's parameters in words, by field.

    Parameters
    ----------
    model : str
        The model's name.
    priors : Priors, optional
        Their constants.

    Returns
    -------
    dict of str to str
    """
    if model == "categorical_hmm":
        rows = f"Dirichlet({priors.rows:g}, ..., {priors.rows:g})"
        return {
            "startprob": rows,
            "transmat": f"each row {rows}",
            "emissionprob": f"each row {rows}",
        }
    described = {
        "weights": f"Dirichlet({priors.weights:g}, ..., {priors.weights:g})",
        "means": f"Normal(0, sd {priors.mean_sd:g}) in units of the data's sd about its mean",
    }
    if model == "gaussian_mixture_1d":
        shape = (1 + priors.covariance_df) / 2
        scale = priors.covariance_scale / 2
        described["means"] += ", in increasing order"
        described["variances"] = (
            f"inverse gamma(shape {shape:g}, scale {scale:g}) in units of the data's variance"
        )
    else:
        described["covariances"] = (
            f"inverse Wishart(D + {priors.covariance_df} degrees of freedom, "
            f"expectation {priors.expected_variance:g} I) for columns scaled to variance 1"
        )
    return described


def observations(model: str, data: Data) -> dict[str, Observed]:
    """Return the data as the `pm.Data` containers of the model's graph hold them.

    Parameters
    ----------
    model : str
        The model's name.
    data : Data
        As the model's `check_data` returns them.

    Returns
    -------
    dict of str to ndarray
        For a mixture the standardised data ``z``, and the ``centre`` and ``scale`` that undo it;
        for an HMM the ``symbols`` of all sequences, one after the other, and their ``lengths``.
    """
    if model != "categorical_hmm":
        x = np.asarray(data, dtype=np.float64)
        centre, scale = x.mean(axis=0), x.std(axis=0)
        return {"z": (x - centre) / scale, "centre": centre, "scale": scale}
    return {
        "symbols": np.concatenate([np.asarray(sequence) for sequence in data]),
        "lengths": np.array([len(sequence) for sequence in data]),
    }


def build(
    model: str, dims: Mapping[str, int], observed: Mapping[str, Observed], *, stock: bool = False
) -> Model:
    """Build the PyMC model of one of the three models, its priors being `PRIORS`.

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
        Whether the log-likelihood is that of `models.stock`. Then a hidden Markov model takes at
        most as many symbols as `stock.padded` makes of these.

    Returns
    -------
    pymc.Model
        With the model's parameters as variables, under the names of the `Parameters` fields.
    """
    n_components, data = dims["n_components"], dict[str, Any](observed)
    if model == "gaussian_mixture_1d":
        return gaussian_mixture_1d(n_components, **data, stock=stock)
    if model == "gaussian_mixture_2d":
        return gaussian_mixture_2d(n_components, **data, stock=stock)
    if model == "categorical_hmm":
        return categorical_hmm(n_components, dims["n_features"], **data, stock=stock)
    raise ValueError(f"no Bayesian version of the model {model!r}")


def _log_likelihoods(stock: bool) -> Any:
    """Return the module whose functions, named as the models, are the log-likelihoods."""
    return importlib.import_module("lockstep.models.stock" if stock else "lockstep.models.fisher")


def gaussian_mixture_1d(
    n_components: int,
    z: Floats,
    centre: Floats,
    scale: Floats,
    priors: Priors = PRIORS,
    *,
    stock: bool = False,
) -> Model:
    """Build the univariate Gaussian mixture with increasing means.

    Parameters
    ----------
    n_components : int
        K.
    z : ndarray, shape (N,)
        Standardised data.
    centre, scale : ndarray, shape ()
        The data are ``centre + scale * z``.
    priors : Priors, optional
        The priors' constants.
    stock : bool, optional
        As for `build`.

    Returns
    -------
    pymc.Model
    """
    import pymc as pm
    import pytensor.tensor as pt
    from pymc.distributions.transforms import ordered

    K, likelihoods = n_components, _log_likelihoods(stock)
    with pm.Model(check_bounds=False) as model:
        z = pm.Data("z", z)  # (N,)
        centre, scale = pm.Data("centre", centre), pm.Data("scale", scale)

        weights = _simplex("weights", priors.weights, (K,))
        z_means = pm.Normal(
            "standard_means",
            0,
            priors.mean_sd,
            shape=K,
            transform=ordered if K > 1 else None,
            initval=np.linspace(-1, 1, K) if K > 1 else None,
        )
        z_variances = pm.InverseGamma(
            "standard_variances",
            alpha=(1 + priors.covariance_df) / 2,
            beta=priors.covariance_scale / 2,
            shape=K,
        )
        value = likelihoods.gaussian_mixture_1d(z, weights, z_means, z_variances)
        pm.Potential("log_likelihood", value - z.shape[0] * pt.log(scale))

        pm.Deterministic("means", centre + scale * z_means)
        pm.Deterministic("variances", scale**2 * z_variances)
    return model


def gaussian_mixture_2d(
    n_components: int,
    z: Floats,
    centre: Floats,
    scale: Floats,
    priors: Priors = PRIORS,
    *,
    stock: bool = False,
) -> Model:
    """Build the multivariate Gaussian mixture with full covariances, in any dimension.

    Parameters
    ----------
    n_components : int
        K.
    z : ndarray, shape (N, D)
        Data with standardised columns.
    centre, scale : ndarray, shape (D,)
        The data are ``centre + scale * z``.
    priors : Priors, optional
        The priors' constants.
    stock : bool, optional
        As for `build`.

    Returns
    -------
    pymc.Model
        The components are exchangeable: nothing orders them.
    """
    import pymc as pm
    import pytensor.tensor as pt

    K, D, likelihoods = n_components, z.shape[1], _log_likelihoods(stock)
    rows, columns = np.triu_indices(D, 1)
    with pm.Model(check_bounds=False) as model:
        z = pm.Data("z", z, shape=(None, D))
        centre = pm.Data("centre", centre, shape=(D,))
        scale = pm.Data("scale", scale, shape=(D,))

        weights = _simplex("weights", priors.weights, (K,))
        z_means = pm.Normal("standard_means", 0, priors.mean_sd, shape=(K, D))
        squares = pm.Gamma(  # chi-squared
            "bartlett_squares",
            alpha=(1 + priors.covariance_df + np.arange(D)) / 2,
            # An array: PyTensor would take a scalar's logarithm in single precision.
            beta=np.full(D, 0.5),
            shape=(K, D),
        )
        # The precision of component k is A_k A_k', and the inverse of A_k' the Cholesky factor of
        # its covariance. Sums of products with unit matrices, which numba takes into one loop.
        on = np.array([np.diag(row) for row in np.eye(D)])
        roots = pt.sqrt(squares / priors.covariance_scale)  # (K, D)
        A = (roots[:, :, None, None] * on).sum(axis=1)  # (K, D, D)
        if D > 1:
            off = np.zeros((len(rows), D, D))
            off[range(len(rows)), rows, columns] = 1 / np.sqrt(priors.covariance_scale)
            above = pm.Normal("bartlett_above", 0, 1, shape=(K, len(rows)))
            A += (above[:, :, None, None] * off).sum(axis=1)
        # A = (I + U) diag(roots) with U^D = 0, so this recursion for the inverse of I + U is
        # exact; LAPACK's would add 20 seconds of compilation.
        U, inverse = A / roots[:, None] - np.eye(D), pt.ones((K, 1, 1)) * np.eye(D)
        for _ in range(D - 1):
            inverse = np.eye(D) - (U[..., None] * inverse[:, None]).sum(axis=2)  # (K, D, D)
        cholesky = (inverse / roots[..., None]).mT

        factors = {"cholesky": cholesky} if stock else {"precisions_cholesky": A}
        value = likelihoods.gaussian_mixture_2d(z, weights, z_means, **factors)
        pm.Potential("log_likelihood", value - z.shape[0] * pt.log(scale).sum())

        z_covariances = (cholesky[..., :, None, :] * cholesky[..., None, :, :]).sum(axis=-1)
        pm.Deterministic("means", centre + scale * z_means)
        pm.Deterministic("covariances", z_covariances * scale * scale[:, None])
    return model


def categorical_hmm(
    n_components: int,
    n_features: int,
    symbols: Integers,
    lengths: Integers,
    priors: Priors = PRIORS,
    *,
    stock: bool = False,
) -> Model:
    """Build the hidden Markov model with categorical emissions.

    Parameters
    ----------
    n_components : int
        The number K of hidden states.
    n_features : int
        The number V of symbols.
    symbols : ndarray of int, shape (T,)
        All sequences, one after the other.
    lengths : ndarray of int, shape (number of sequences,)
        The sequences' lengths.
    priors : Priors, optional
        The priors' constants.
    stock : bool, optional
        As for `build`.

    Returns
    -------
    pymc.Model
        The states are exchangeable: nothing orders them.
    """
    import pymc as pm

    K, V, likelihoods = n_components, n_features, _log_likelihoods(stock)
    with pm.Model(check_bounds=False) as model:
        x, each = pm.Data("symbols", symbols), pm.Data("lengths", lengths)
        startprob = _simplex("startprob", priors.rows, (K,))
        transmat = _simplex("transmat", priors.rows, (K, K))
        emissionprob = _simplex("emissionprob", priors.rows, (K, V))
        value = likelihoods.categorical_hmm(x, startprob, transmat, emissionprob, each)
        pm.Potential("log_likelihood", value)
    return model


def start(
    model: str, dims: Mapping[str, int], data: Data, rng: np.random.Generator
) -> dict[str, Floats]:
    """Return a random place to start sampling, by value variable, on the unconstrained scale.

    For a mixture it scatters about a k-means split of the standardised data, in order of the
    first coordinate; for an HMM every coordinate is standard normal, which is as wide as the prior.

    Parameters
    ----------
    model : str
        The model's name.
    dims : mapping of str to int
        Its sizes.
    data : Data
        The training data.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    dict of str to ndarray
    """
    K = dims["n_components"]
    if model == "categorical_hmm":
        V = dims["n_features"]
        shapes = {"startprob": (K - 1,), "transmat": (K, K - 1), "emissionprob": (K, V - 1)}
        return {f"{name}_simplex__": rng.normal(size=shape) for name, shape in shapes.items()}

    from scipy.cluster.vq import kmeans2

    x = np.asarray(data, dtype=np.float64)
    x = x.reshape(len(x), -1)  # (N, D)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    means, labels = kmeans2(z, K, minit="++", rng=rng)
    order = np.argsort(means[:, 0])
    means, members = means[order], [z[labels == k] for k in order]
    weights = np.array([1 + len(member) for member in members]) / (len(z) + K)
    variances = np.array(
        [
            (PRIORS.expected_variance + ((member - mean) ** 2).sum(axis=0)) / (1 + len(member))
            for member, mean in zip(members, means, strict=True)
        ]
    )  # (K, D)
    point = {"weights_simplex__": (np.log(weights) - np.log(weights).mean())[:-1]}
    if model == "gaussian_mixture_1d":
        first, steps = means[0], np.maximum(np.diff(means[:, 0]), 1e-3)
        name = "standard_means_ordered__" if K > 1 else "standard_means"
        point[name] = np.concatenate([first, np.log(steps)])
        point["standard_variances_log__"] = np.log(variances[:, 0])
    else:
        D = x.shape[1]
        point["standard_means"] = means
        point["bartlett_squares_log__"] = np.log(PRIORS.covariance_scale / variances)
        point["bartlett_above"] = np.zeros((K, D * (D - 1) // 2))
    return {name: value + rng.normal(0, SCATTER, value.shape) for name, value in point.items()}


def _simplex(name: str, concentration: float, shape: tuple[int, ...]) -> TensorVariable:
    """Return symmetric Dirichlet rows, or ones where a row has one entry and cannot vary."""
    import pymc as pm
    import pytensor.tensor as pt

    from lockstep.models.softmax import Softmax

    if shape[-1] == 1:
        return pm.Deterministic(name, pt.ones(shape))
    return pm.Dirichlet(name, np.full(shape, concentration), default_transform=Softmax())
