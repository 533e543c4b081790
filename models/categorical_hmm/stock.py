"""The log-likelihood of the categorical hidden Markov model in PyMC's own terms.

Nothing here knows an E-step; gradients are those of automatic differentiation.

The forward algorithm is not a loop. With M_t = transmat diag(b(x_t)) and
b_k(v) = emissionprob[k, v], the likelihood of a sequence is startprob diag(b(x_1)) M_2 ... M_T 1.
The product is associative, so it is taken pairwise as a balanced tree, log2(T) batched products. At
the start of a sequence M_t is 1 startprob' diag(b(x_t)), which forgets the past: the sequences, of
any lengths, form one chain whose product is the product of their likelihoods.

References
----------
Sarkka and Garcia-Fernandez (2021), IEEE Trans. Automatic Control 66, 299-306: the associative form.
"""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

MIN_LENGTH = 512
"""Shorter data share one graph: padding costs microseconds, another compilation half a minute."""

# Products of 8 factors, each scaled to a largest entry of 1, stay far from underflow.
LEVELS_BETWEEN_RESCALING = 3


def padded(n_symbols: int) -> int:
    """Return the number of factors, a power of two, in the product for so many symbols."""
    return int(max(MIN_LENGTH, 1 << (n_symbols - 1).bit_length()))


def log_likelihood(
    symbols: Any, lengths: Any, startprob: Any, transmat: Any, emissionprob: Any
) -> Any:
    """Return the log-likelihood of the hidden Markov model with categorical emissions.

    Parameters
    ----------
    symbols : pm.Data of int, shape (T,)
        All sequences, one after the other; -1 is a symbol that was not observed, and is emitted by
        every state with probability one.
    startprob : TensorVariable, shape (K,)
    transmat : TensorVariable, shape (K, K)
    emissionprob : TensorVariable, shape (K, V)
    lengths : TensorVariable of int, shape (number of sequences,)

    Returns
    -------
    TensorVariable, shape ()
        For as many symbols as there are now, `padded`, or fewer.
    """
    T = padded(len(symbols.get_value(borrow=True)))
    K, V = emissionprob.type.shape[0], emissionprob.type.shape[1] + 1
    emissionprob = pt.concatenate([emissionprob, pt.ones((K, 1))], axis=1)
    symbols = pt.switch(symbols < 0, V - 1, symbols)
    within = transmat[:, :, None] * emissionprob  # (K, K, V)
    first = pt.ones((K, 1, 1)) * startprob[:, None] * emissionprob  # (K, K, V)
    padding = pt.eye(K)[:, :, None]  # (K, K, 1)
    table = pt.concatenate([within, first, padding], axis=2)

    starts = pt.cumsum(lengths) - lengths
    steps = pt.inc_subtensor(symbols[starts], V)
    steps = pt.concatenate([steps, pt.full(T - steps.shape[0], 2 * V, dtype=steps.dtype)])
    return _log_product(table[:, :, steps], T)


def _log_product(factors: Any, length: int) -> Any:
    """Return log(e_1' M_1 M_2 ... M_T 1) for nonnegative M_t = factors[:, :, t], T = 2^n."""
    log_scale = pt.constant(0.0)
    for level in range(1, length.bit_length()):
        left, right = factors[:, :, 0::2], factors[:, :, 1::2]
        factors = (left[:, :, None, :] * right[None, :, :, :]).sum(axis=1)
        if level % LEVELS_BETWEEN_RESCALING == 0:
            # The value does not depend on the divisor, so neither does the gradient.
            divisor = disconnected_grad(factors.max(axis=(0, 1)))
            factors = factors / divisor
            log_scale += pt.log(divisor).sum()
    return log_scale + pt.log(factors[0, :, 0].sum())
