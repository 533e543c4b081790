"""A mixture of Poisson distributions: how a model of your own joins lockstep."""

from poisson_mixture import shows
from poisson_mixture.equations import *
