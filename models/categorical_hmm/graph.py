"""The log-likelihood of the categorical hidden Markov model as a PyTensor graph."""

from __future__ import annotations

from typing import Any


def fisher(symbols: Any, lengths: Any, startprob: Any, transmat: Any, emissionprob: Any) -> Any:
    """Return the log-likelihood; its gradient is the E-step."""
    from lockstep.models.fisher import categorical_hmm

    return categorical_hmm(symbols, startprob, transmat, emissionprob, lengths)


def stock(symbols: Any, lengths: Any, startprob: Any, transmat: Any, emissionprob: Any) -> Any:
    """Return the log-likelihood; its gradient is that of automatic differentiation."""
    from lockstep.models.stock import categorical_hmm

    return categorical_hmm(symbols, startprob, transmat, emissionprob, lengths)
