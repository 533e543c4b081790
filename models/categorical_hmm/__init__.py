"""The hidden Markov model with categorical emissions."""

from lockstep.models.categorical_hmm import shows
from lockstep.models.categorical_hmm.equations import *
