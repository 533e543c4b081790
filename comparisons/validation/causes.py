"""From wrong numbers to their cause: known mistakes first, then what else can be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lockstep.comparisons.validation import mistakes
from lockstep.comparisons.validation.bench import Bench, Failed
from lockstep.comparisons.validation.channel import TroubleError
from lockstep.comparisons.validation.mistakes import Guess, Observed
from lockstep.comparisons.validation.verdicts import Cause
from lockstep.models.records import Floats
from lockstep.models.spaces import Positive

SINGLE = 1e-4
"""Single precision is off by up to this much."""


def diagnose(bench: Bench) -> list[Cause]:
    """Return what probably went wrong in the candidate's iterations, the likeliest first."""
    observed = _observe(bench)
    if not observed:
        return []
    found = [_told(bench, guess) for guess in mistakes.guesses(bench.candidate.model, observed)]
    return found or _seen(bench, observed)


def _observe(bench: Bench) -> list[Observed]:
    """Return one and two iterations on two general problems; nothing if there are no numbers."""
    observed = []
    for seed in (91, 92):
        problem = bench.general(seed, 3, 30)
        path = []
        for n in (1, 2):
            try:
                found = bench.raw(problem, n).parameters
                bench.shaped(found, problem)
            except (TroubleError, Failed):
                break
            path.append({name: found[name] for name in bench.fields})
        if not path:
            return []
        observed.append(Observed(problem.start, problem.data, path))
    return observed


def _told(bench: Bench, guess: Guess) -> Cause:
    """Return a mistake for a reader, with its evidence."""
    names = _list(guess.fields)
    verb = "equals that" if len(guess.fields) == 1 and not names.endswith("s") else "equal those"
    to = "to the last bit" if guess.distance == 0 else f"to {guess.distance:.0e}"
    evidence = (
        f"your {names} {verb} of one iteration with {guess.says}, {to}; from the right ones "
        f"{'it is' if verb == 'equals that' else 'they are'} {guess.wrong_by:.2g} away"
    )
    if guess.stateful:
        evidence = (
            f"your first iteration is right; in the second your {names} {verb} of {guess.says}, "
            f"{to}, and {guess.wrong_by:.2g} from the right ones"
        )
    return Cause(guess.name, evidence, guess.mend, bench.read(guess.section or "M-step"))


def _list(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _seen(bench: Bench, observed: Sequence[Observed]) -> list[Cause]:
    """Return what the numbers show, where no known mistake explains them."""
    first = observed[0]
    right = mistakes.run((mistakes.root(bench.candidate.model),), first.start, first.data)
    found = first.path[0]
    if right is None or not all(np.isfinite(a).all() for a in found.values()):
        return []
    worst, _, _ = bench.apart(found, right)
    causes = []
    if worst <= SINGLE and all(np.array_equal(a, a.astype(np.float32)) for a in found.values()):
        return [
            Cause(
                "single precision",
                f"every number you return is a 32-bit float, {worst:.1g} from the right ones",
                "compute in float64",
            )
        ]
    if (order := _permuted(bench, found, right)) is not None:
        return [
            Cause(
                "components returned in another order",
                f"with your components taken in the order {order} all is right",
                "hand the components back in the order of the start: sort once, after the fit",
            )
        ]
    second = "variances" if "variances" in found else "covariances"
    if second in found and (ridge := _ridge(found[second] - right[second])):
        causes.append(
            Cause(
                "a ridge on the variances",
                f"each of your variances is {ridge:.6g} too large, by the same number",
                "leave it out, or make it an option called reg_covar: EM maximises without it",
                bench.read("M-step"),
            )
        )
        return causes
    off = mistakes.distances(found, right)
    good = [name for name in bench.fields if off[name] <= mistakes.SAME]
    bad = [name for name in bench.fields if off[name] > mistakes.SAME]
    if not bad:
        return []
    tried = "no known mistake gives your numbers"
    if not mistakes.known(bench.candidate.model):
        tried = f"no mistakes are known of EM for the {bench.model.TITLE}"
    evidence = f"{tried}. After one iteration your {_list(bad)} "
    evidence += "are wrong" if len(bad) > 1 or bad[0].endswith("s") else "is wrong"
    if good:
        evidence += f"; your {_list(good)} right"
        mend = f"look at the M-step of {_list(bad)}: the E-step that also feeds the others is right"
        return [Cause(f"the update of the {_list(bad)}", evidence, mend, bench.read("M-step"))]
    mend = "begin with the E-step, which feeds all of them"
    return [Cause("not among the known mistakes", evidence, mend, bench.read("E-step"))]


def _permuted(bench: Bench, found: dict[str, Floats], right: dict[str, Floats]) -> list[int] | None:
    from lockstep.models.labels import matching

    spaces = bench.model.Parameters.SPACES
    positive = [n for n in spaces if isinstance(spaces[n], Positive) or n == "weights"]
    if any(not np.all(found[n] > 0) for n in positive):
        return None
    expected = bench.record(right)
    try:
        order = matching(bench.record(found), expected)
    except (ValueError, ArithmeticError):
        return None
    ordered = bench.record(found).relabelled(order).arrays()
    same = max(mistakes.distances(ordered, right).values()) <= mistakes.SAME
    return [int(k) for k in order] if same and list(order) != sorted(order) else None


def _ridge(added: Floats) -> float:
    """Return the number added to every variance; 0 if there is no such number."""
    if added.ndim == 3:
        diagonals = np.diagonal(added, axis1=1, axis2=2)
        rest = np.abs(added - diagonals[:, :, None] * np.eye(added.shape[1])).max()
    else:
        diagonals, rest = added, 0.0
    ridge = float(diagonals.mean())
    even = max(np.abs(diagonals - ridge).max(), rest) <= 1e-6 * abs(ridge) + 1e-14
    return ridge if even and ridge > 1e-13 else 0.0
