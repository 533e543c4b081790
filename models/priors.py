"""Priors as data: one statement, from which everything follows that needs a prior.

A model's `prior.py` states a family for each field of its parameters. From that come the words of
the report, draws by NumPy, the log-density, PyMC's random variables, and the coordinates in which
a sampler starts. Where a prior is on the scale of standardised data, z = (x - mean) / sd of each
column, it means the same for data in any unit.

References
----------
.. [1] Bartlett (1934), Proc. Cambridge Philos. Soc. 30, 327-340: the triangular factor of a Wishart
   matrix has independent entries, chi on its diagonal and standard normal beside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import lgamma
from typing import Any

import numpy as np
from scipy.special import gammaln, multigammaln, xlogy

from lockstep.models.records import Floats, Parameters

SMALLEST_STEP = 1e-3
"""Between two means of a starting point that are to be in order."""


@dataclass(frozen=True)
class Family(ABC):
    """A family of distributions, with its constants.

    Every constant is a positive number, or the prior would be improper.
    """

    def __post_init__(self) -> None:
        for constant in fields(self):
            value = getattr(self, constant.name)
            if isinstance(value, bool):
                continue
            if not 0 < value < np.inf:
                raise ValueError(
                    f"{constant.name} is {value}: that prior is improper; give a positive number"
                )

    @abstractmethod
    def words(self, *, rows: bool, standardised: bool) -> str:
        """Return the prior in words; `rows` tells whether there is one for each row."""

    @abstractmethod
    def draw(self, shape: tuple[int, ...], n: int, rng: np.random.Generator) -> Floats:
        """Return n draws of a field, shape (n, ...)."""

    @abstractmethod
    def log_density(self, value: Floats) -> float:
        """Return the log-density of a field, with its constant."""

    @abstractmethod
    def variables(self, name: str, field: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """Put the field into the PyMC model that is open.

        Parameters
        ----------
        name : str
            What its random variable is called.
        field : str
        shape : tuple of int

        Returns
        -------
        dict of str to TensorVariable
            The field, and by other names what else its likelihood may be computed from.
        """

    @abstractmethod
    def coordinates(self, name: str, value: Floats) -> dict[str, Floats]:
        """Return a value of the field in the unconstrained coordinates of its variables."""


@dataclass(frozen=True)
class Dirichlet(Family):
    """Rows of probabilities, symmetric; 1 is uniform."""

    concentration: float = 1.0

    def words(self, *, rows: bool, standardised: bool) -> str:
        """Return the prior in words."""
        row = f"Dirichlet({self.concentration:g}, ..., {self.concentration:g})"
        return f"each row {row}" if rows else row

    def draw(self, shape: tuple[int, ...], n: int, rng: np.random.Generator) -> Floats:
        """Return n draws, each row a distribution."""
        return rng.dirichlet(np.full(shape[-1], self.concentration), (n, *shape[:-1]))

    def log_density(self, value: Floats) -> float:
        """Return the log-density, summed over the rows."""
        a, K = self.concentration, value.shape[-1]
        constant: float = value.size // K * (lgamma(K * a) - K * lgamma(a))
        return constant + float(xlogy(a - 1, value).sum())

    def variables(self, name: str, field: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """Put the rows into the PyMC model; a row of one entry cannot vary."""
        import pymc as pm
        import pytensor.tensor as pt

        from lockstep.models.softmax import Softmax

        if shape[-1] == 1:
            return {field: pm.Deterministic(name, pt.ones(shape))}
        rows = np.full(shape, self.concentration)
        return {field: pm.Dirichlet(name, rows, default_transform=Softmax())}

    def coordinates(self, name: str, value: Floats) -> dict[str, Floats]:
        """Return the centred logarithms of each row, without the last."""
        if value.shape[-1] == 1:
            return {}
        logs = np.log(value)
        return {f"{name}_simplex__": (logs - logs.mean(axis=-1, keepdims=True))[..., :-1]}


@dataclass(frozen=True)
class Normal(Family):
    """Independent normals about zero.

    Attributes
    ----------
    sd : float
    ordered : bool
        Whether the components are in increasing order.
    """

    sd: float
    ordered: bool = False

    def words(self, *, rows: bool, standardised: bool) -> str:
        """Return the prior in words."""
        unit = " in units of the data's sd about its mean" if standardised else ""
        return f"Normal(0, sd {self.sd:g}){unit}" + self.ordered * ", in increasing order"

    def draw(self, shape: tuple[int, ...], n: int, rng: np.random.Generator) -> Floats:
        """Return n draws."""
        drawn = rng.normal(0, self.sd, (n, *shape))
        return np.sort(drawn, axis=-1) if self.ordered else drawn

    def log_density(self, value: Floats) -> float:
        """Return the log-density; that of an ordered vector is its permutations' together."""
        density = -0.5 * (value / self.sd) ** 2 - np.log(self.sd) - 0.5 * np.log(2 * np.pi)
        if not self.ordered:
            return float(density.sum())
        if (np.diff(value) < 0).any():
            return -np.inf
        return float(density.sum()) + lgamma(len(value) + 1)

    def variables(self, name: str, field: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """Put the field into the PyMC model."""
        import pymc as pm
        from pymc.distributions.transforms import ordered

        K = shape[-1]
        in_order = self.ordered and K > 1
        variable = pm.Normal(
            name,
            0,
            self.sd,
            shape=shape,
            transform=ordered if in_order else None,
            initval=np.linspace(-1, 1, K) if in_order else None,
        )
        return {field: variable}

    def coordinates(self, name: str, value: Floats) -> dict[str, Floats]:
        """Return the value; in order, the first and the logarithms of the steps."""
        if not self.ordered or value.shape[-1] == 1:
            return {name: value}
        steps = np.maximum(np.diff(value), SMALLEST_STEP)
        return {f"{name}_ordered__": np.concatenate([value[:1], np.log(steps)])}


@dataclass(frozen=True)
class Gamma(Family):
    """Independent gamma variables, of rates."""

    shape: float
    rate: float

    def words(self, *, rows: bool, standardised: bool) -> str:
        """Return the prior in words."""
        return f"gamma(shape {self.shape:g}, rate {self.rate:g})"

    def draw(self, shape: tuple[int, ...], n: int, rng: np.random.Generator) -> Floats:
        """Return n draws."""
        return rng.gamma(self.shape, 1 / self.rate, (n, *shape))

    def log_density(self, value: Floats) -> float:
        """Return the log-density."""
        a, b = self.shape, self.rate
        density = a * np.log(b) - gammaln(a) + (a - 1) * np.log(value) - b * value
        return float(density.sum())

    def variables(self, name: str, field: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """Put the field into the PyMC model."""
        import pymc as pm

        return {field: pm.Gamma(name, alpha=self.shape, beta=self.rate, shape=shape)}

    def coordinates(self, name: str, value: Floats) -> dict[str, Floats]:
        """Return the logarithms."""
        return {f"{name}_log__": np.log(value)}


@dataclass(frozen=True)
class InverseGamma(Family):
    """Independent inverse gamma variables: the inverse Wishart in one dimension."""

    shape: float
    scale: float

    def words(self, *, rows: bool, standardised: bool) -> str:
        """Return the prior in words."""
        unit = " in units of the data's variance" if standardised else ""
        return f"inverse gamma(shape {self.shape:g}, scale {self.scale:g}){unit}"

    def draw(self, shape: tuple[int, ...], n: int, rng: np.random.Generator) -> Floats:
        """Return n draws."""
        return self.scale / rng.gamma(self.shape, size=(n, *shape))

    def log_density(self, value: Floats) -> float:
        """Return the log-density."""
        a, b = self.shape, self.scale
        density = a * np.log(b) - gammaln(a) - (a + 1) * np.log(value) - b / value
        return float(density.sum())

    def variables(self, name: str, field: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """Put the field into the PyMC model."""
        import pymc as pm

        return {field: pm.InverseGamma(name, alpha=self.shape, beta=self.scale, shape=shape)}

    def coordinates(self, name: str, value: Floats) -> dict[str, Floats]:
        """Return the logarithms."""
        return {f"{name}_log__": np.log(value)}


@dataclass(frozen=True)
class InverseWishart(Family):
    """Covariance matrices.

    Attributes
    ----------
    beyond : float
        Degrees of freedom beyond the number of dimensions, more than 1.
    variance : float
        The expectation is this times the unit matrix.
    """

    beyond: float
    variance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beyond <= 1:
            raise ValueError(
                f"beyond is {self.beyond}: with 1 or less a variance has no expectation to set; "
                "give more"
            )

    @property
    def scale(self) -> float:
        """The scale matrix is this times the unit matrix."""
        return self.variance * (self.beyond - 1)

    def marginal(self) -> InverseGamma:
        """Return the distribution in one dimension."""
        return InverseGamma((1 + self.beyond) / 2, self.scale / 2)

    def words(self, *, rows: bool, standardised: bool) -> str:
        """Return the prior in words."""
        unit = " for columns scaled to variance 1" if standardised else ""
        return (
            f"inverse Wishart(D + {self.beyond:g} degrees of freedom, "
            f"expectation {self.variance:g} I){unit}"
        )

    def draw(self, shape: tuple[int, ...], n: int, rng: np.random.Generator) -> Floats:
        """Return n draws, each of matrices along the last two axes."""
        from scipy.stats import invwishart

        *lead, D, _ = shape
        family = invwishart(D + self.beyond, self.scale * np.eye(D))
        number = n * int(np.prod(lead))
        return np.asarray(family.rvs(number, random_state=rng)).reshape(n, *shape)

    def log_density(self, value: Floats) -> float:
        """Return the log-density, summed over the matrices."""
        D = value.shape[-1]
        df = D + self.beyond
        constant = 0.5 * df * D * np.log(self.scale / 2) - multigammaln(0.5 * df, D)
        trace = np.trace(np.linalg.inv(value), axis1=-2, axis2=-1)
        log_det = np.linalg.slogdet(value)[1]
        return float((constant - 0.5 * (df + D + 1) * log_det - 0.5 * self.scale * trace).sum())

    def variables(self, name: str, field: str, shape: tuple[int, ...]) -> dict[str, Any]:
        """Put the matrices into the PyMC model, by Bartlett's decomposition ([1]_).

        The precision is A A' with A upper triangular, A_ii^2 ~ chi^2(1 + beyond + i) for i from 0
        and A_ij ~ Normal(0, 1), all over the root of the scale: independent and unconstrained. The
        inverse of A' is the Cholesky factor of the covariance.

        Returns
        -------
        dict of str to TensorVariable
            The covariances; ``cholesky``, their lower factors; ``precisions_cholesky``, A.
        """
        import pymc as pm
        import pytensor.tensor as pt

        K, D, _ = shape
        above_diagonal = np.triu_indices(D, 1)
        squares = pm.Gamma(  # chi-squared
            "bartlett_squares",
            alpha=(1 + self.beyond + np.arange(D)) / 2,
            # An array: PyTensor would take a scalar's logarithm in single precision.
            beta=np.full(D, 0.5),
            shape=(K, D),
        )
        # Sums of products with unit matrices, which numba takes into one loop.
        on = np.array([np.diag(row) for row in np.eye(D)])
        roots = pt.sqrt(squares / self.scale)  # (K, D)
        A = (roots[:, :, None, None] * on).sum(axis=1)  # (K, D, D)
        if D > 1:
            number = len(above_diagonal[0])
            off = np.zeros((number, D, D))
            off[range(number), *above_diagonal] = 1 / np.sqrt(self.scale)
            above = pm.Normal("bartlett_above", 0, 1, shape=(K, number))
            A += (above[:, :, None, None] * off).sum(axis=1)
        # A = (I + U) diag(roots) with U^D = 0, so this recursion for the inverse of I + U is
        # exact; LAPACK's would add 20 seconds of compilation.
        U, inverse = A / roots[:, None] - np.eye(D), pt.ones((K, 1, 1)) * np.eye(D)
        for _ in range(D - 1):
            inverse = np.eye(D) - (U[..., None] * inverse[:, None]).sum(axis=2)  # (K, D, D)
        cholesky = (inverse / roots[..., None]).mT
        covariances = (cholesky[..., :, None, :] * cholesky[..., None, :, :]).sum(axis=-1)
        return {field: covariances, "cholesky": cholesky, "precisions_cholesky": A}

    def coordinates(self, name: str, value: Floats) -> dict[str, Floats]:
        """Return the logarithms of the squares on the diagonal of A, and what is above it."""
        D = value.shape[-1]
        A = np.linalg.inv(np.linalg.cholesky(value)).mT * np.sqrt(self.scale)
        diagonal = np.diagonal(A, axis1=-2, axis2=-1)
        found = {"bartlett_squares_log__": 2 * np.log(diagonal)}
        if D > 1:
            found["bartlett_above"] = A[:, *np.triu_indices(D, 1)]
        return found


@dataclass(frozen=True)
class Prior:
    """The prior of a model's parameters.

    Attributes
    ----------
    families : mapping of str to Family
        By field, in the order of the fields.
    standardised : bool
        Whether they are on the scale of standardised data.
    """

    families: Mapping[str, Family]
    standardised: bool = False

    def words(self, kind: type[Parameters]) -> dict[str, str]:
        """Return the prior of each field of the parameters in words."""
        return {
            name: family.words(rows=len(kind.SPACES[name].axes) > 1, standardised=self.standardised)
            for name, family in self.families.items()
        }
