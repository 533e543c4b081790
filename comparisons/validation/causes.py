"""From wrong numbers to their cause: known mistakes first, then what else can be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lockstep.comparisons.validation import mistakes
from lockstep.comparisons.validation.bench import Bench, Failed, NotChecked
from lockstep.comparisons.validation.channel import TroubleError
from lockstep.comparisons.validation.mistakes import Guess, Observed
from lockstep.comparisons.validation.verdicts import Cause
from lockstep.models.records import Floats
from lockstep.models.spaces import Positive, Simplex

SINGLE = 1e-4
"""Single precision is off by up to this much."""


def diagnose(bench: Bench, observed: Sequence[Observed] | None = None) -> list[Cause]:
    """Return what probably went wrong in the candidate's iterations, the likeliest first.

    Parameters
    ----------
    bench : Bench
    observed : sequence of Observed, optional
        By default one and two iterations on two general problems.
    """
    observed = _observe(bench) if observed is None else observed
    if not observed:
        return []
    return named(bench, observed) or _seen(bench, observed)


def named(bench: Bench, observed: Sequence[Observed]) -> list[Cause]:
    """Return the known mistakes that explain what was observed."""
    model = bench.candidate.model
    return [_told(bench, guess) for guess in mistakes.guesses(model, observed)]


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
    if guess.ended:
        evidence = (
            f"an iteration with {guess.says} keeps your parameters where they are, {to}; a right "
            f"one moves them by {guess.wrong_by:.2g}"
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
    return _located(bench, first, found, right)


def _located(
    bench: Bench, observed: Observed, found: dict[str, Floats], right: dict[str, Floats]
) -> list[Cause]:
    """Return which quantity goes wrong first, as far as the others can be seen to be right."""
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
    if max(off.values()) <= SINGLE:
        evidence += f", by no more than {max(off.values()):.1g}"
        mend = "look for 32-bit floats, constants of few digits and small numbers added to divisors"
        return [Cause("less than double precision", evidence, mend, bench.read("E-step"))]
    if good:
        evidence += f"; your {_list(good)} right"
        mend = f"look at the M-step of {_list(bad)}: the E-step that also feeds the others is right"
        return [Cause(f"the update of the {_list(bad)}", evidence, mend, bench.read("M-step"))]
    for told in (_sums(bench, found, right), _moments(observed, found), _by_itself(bench)):
        if told is not None:
            name, seen, mend = told
            section = "E-step" if "E-step" in name else "M-step"
            return [Cause(name, f"{evidence}; {seen}", mend, bench.read(section))]
    mend = "compare what the E-step expects of a few observations with a calculation by hand"
    return [Cause("not among the known mistakes", evidence, mend, bench.read("E-step"))]


type Place = tuple[str, str, str] | None


def _sums(bench: Bench, found: dict[str, Floats], right: dict[str, Floats]) -> Place:
    """See whether all distributions are right but for their sums."""
    simplexes = [n for n, s in bench.model.Parameters.SPACES.items() if isinstance(s, Simplex)]
    shares = {n: found[n] / found[n].sum(axis=-1, keepdims=True) for n in simplexes}
    if not simplexes or len(simplexes) < len(found):
        return None
    if max(mistakes.distances(shares, right).values()) > mistakes.SAME:
        return None
    return (
        "the divisors in the M-step",
        "divided by the sums of their rows all of them are right, so the E-step is",
        "divide each count by the sum of its row",
    )


def _moments(observed: Observed, found: dict[str, Floats]) -> Place:
    """See whether a mixture's weighted means are the data's mean, as any responsibilities give."""
    if not {"weights", "means"} <= set(found):
        return None
    mean = np.tensordot(found["weights"], found["means"], axes=1)
    off = np.abs(mean - observed.data.mean(axis=0)).max() / observed.data.std()
    if abs(found["weights"].sum() - 1) <= mistakes.SAME and off <= mistakes.SAME:
        return (
            "the responsibilities (E-step)",
            "your means, weighted, have the data's mean, as they do with any responsibilities that "
            "sum to one: it is these that are wrong",
            "compare the responsibilities of a few points with a calculation by hand",
        )
    return (
        "the weights and means (M-step)",
        "your means, weighted, do not have the data's mean, as they would with any "
        "responsibilities that sum to one",
        "see that responsibilities sum to one over the components, and that weights and means "
        "are divided by the same totals",
    )


def _by_itself(bench: Bench) -> Place:
    """See whether the E-step, by itself, or a log-likelihood from it is right."""
    from lockstep.comparisons.validation import iterations

    try:
        iterations.e_step(bench)
    except (NotChecked, TroubleError):
        pass
    except Failed as failed:
        return "the E-step", f"looked at by itself, {failed.message}", "begin with the E-step"
    else:
        said = "your E-step, looked at by itself, is right"
        return "the M-step", said, "look at the M-step, which all of them come from"
    try:
        iterations.log_likelihood(bench)
    except (NotChecked, TroubleError, Failed):
        return None
    return (
        "what follows the log-likelihood",
        "the log-likelihood that you report is right, and so are the densities, or the forward "
        "pass, that it comes from",
        "look at what is made of them: responsibilities, or the backward pass, and the M-step",
    )


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
