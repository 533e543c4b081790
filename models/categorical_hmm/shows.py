"""What a reader is shown of the categorical hidden Markov model."""

from __future__ import annotations

NOUN = "state"
SEQUENCES = True
UNIT, PREDICTED = "symbol", "symbol given those before it"
COLUMNS = (1, 1)


def meaning(field: str, *names: str) -> str:
    """Return what a parameter is; `names` are those of its states and its symbol."""
    match field, names:
        case "startprob", (state,):
            return f"start in {state}"
        case "transmat", (state, following):
            return f"{state} → {following}"
        case _, (state, symbol):
            return f"{state} shows {symbol}"
    return ""
