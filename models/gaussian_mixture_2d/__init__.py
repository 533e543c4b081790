"""The Gaussian mixture with full covariances, in any dimension."""

from lockstep.models.gaussian_mixture_2d import shows
from lockstep.models.gaussian_mixture_2d.equations import *
