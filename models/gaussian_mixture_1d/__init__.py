"""The Gaussian mixture in one dimension."""

from lockstep.models.gaussian_mixture_1d import shows
from lockstep.models.gaussian_mixture_1d.equations import *
