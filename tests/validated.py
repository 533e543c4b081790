"""The implementations that validation is tried on, and the tables of them in docs/validation.md.

``python tests/validated.py`` (or ``make validation``) renews the tables.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mutants
from lockstep.comparisons.validation import validate
from lockstep.comparisons.validation.verdicts import Ended, Validation

ROOT = Path(__file__).parents[1]
FOLDER = Path("tests/candidates")
PAGE = ROOT / "docs" / "validation.md"
BEGIN, END = "<!-- made by `make validation` -->", "<!-- end -->"


@dataclass(frozen=True)
class Case:
    """An implementation to be validated.

    Attributes
    ----------
    name, target, model : str
    cause : str
        What should be named first; empty if it is right.
    program : bool
        Whether the target is a command line.
    """

    name: str
    target: str
    model: str
    cause: str = ""
    program: bool = False

    @property
    def there(self) -> bool:
        """Whether this machine can run it."""
        return not self.program or shutil.which(self.target.split()[0]) is not None

    def validate(self) -> Validation:
        """Return the verdict, without the timing; a wrong one's must be strict."""
        return validate(
            self.target,
            self.model,
            command=self.program,
            strict=bool(self.cause),
            only=lambda c: c.name != "timing",
        )


def _table(file: str, name: str) -> dict[str, str]:
    """Return a dictionary that a file of candidates ends with."""
    spec = importlib.util.spec_from_file_location(file, ROOT / FOLDER / f"{file}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = getattr(module, name)
    return found


def wrong() -> Iterator[Case]:
    """Yield the wrong ones."""
    for file, model in (
        ("wrong_mixtures_1d", "gaussian_mixture_1d"),
        ("wrong_mixtures_2d", "gaussian_mixture_2d"),
        ("wrong_hmms", "categorical_hmm"),
    ):
        for function, cause in _table(file, "WRONG").items():
            target = f"{ROOT / FOLDER / file}.py:{function}"
            yield Case(f"{file}.py:{function}", target, model, cause)


def right() -> Iterator[Case]:
    """Yield the right ones: ours, the libraries', and others in several styles and languages."""
    for model in ("gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm"):
        yield Case("our readable EM", f"lockstep.models.{model}:e_step,m_step", model)
        file = f"{ROOT / FOLDER}/right.py"
        yield Case("our kernels", f"{file}:kernel_{model}", model)
        ours = "CategoricalHMM" if model == "categorical_hmm" else "GaussianMixture"
        yield Case(f"our `{ours}`", f"lockstep.models.estimators:{ours}", model)
    for model in ("gaussian_mixture_1d", "gaussian_mixture_2d"):
        target = "sklearn.mixture:GaussianMixture"
        yield Case("scikit-learn's `GaussianMixture`", target, model)
    target = "hmmlearn.hmm:CategoricalHMM"
    yield Case("hmmlearn's `CategoricalHMM`", target, "categorical_hmm")
    for function, model in _table("right", "RIGHT").items():
        yield Case(f"right.py:{function}", f"{ROOT / FOLDER}/right.py:{function}", model)
    yield Case(
        "mixture_1d_program.py, a program without packages",
        f"{sys.executable} {ROOT / FOLDER}/mixture_1d_program.py",
        "gaussian_mixture_1d",
        program=True,
    )
    yield Case(
        "hmm.js, in JavaScript",
        f"node {ROOT / FOLDER}/hmm.js",
        "categorical_hmm",
        program=True,
    )


def wrong_row(case: Case, verdict: Validation) -> str:
    """Return the row of a wrong one: what caught it, and what was named."""
    failed = verdict.of(Ended.FAILED)
    caught = failed[0].title if failed else "**nothing**"
    named = verdict.causes[0].name if verdict.causes else "**nothing**"
    if named != case.cause:
        named = f"**{named}** in place of {case.cause}"
    return f"| `{case.name}` | {caught} | {named} |"


def right_row(case: Case, verdict: Validation) -> str:
    """Return the row of a right one: the verdict, and the deviations."""
    name = f"`{case.name}`" if ".py:" in case.name else case.name
    model = case.model.replace("_", "-")
    deviations = "; ".join(d.name for d in verdict.deviations)
    return f"| {name} | {model} | {verdict.word} | {deviations} |"


def tables() -> str:
    """Validate everything and return both tables."""
    wrong_rows, named, caught = [], 0, 0
    for case in wrong():
        verdict = case.validate()
        wrong_rows.append(wrong_row(case, verdict))
        caught += bool(verdict.of(Ended.FAILED))
        named += bool(verdict.causes) and verdict.causes[0].name == case.cause
        print(wrong_rows[-1], flush=True)
    right_rows, accused = [], 0
    for case in right():
        if not case.there:
            raise SystemExit(f"{case.target.split()[0]} is needed for {case.name}")
        verdict = case.validate()
        right_rows.append(right_row(case, verdict))
        accused += bool(verdict.of(Ended.FAILED))
        print(right_rows[-1], flush=True)
    return "\n".join(
        [
            f"Of {len(wrong_rows)} wrong implementations {caught} are caught, and {named} are "
            "named right at the first guess:",
            "",
            "| implementation | caught first by | named |",
            "|---|---|---|",
            *wrong_rows,
            "",
            f"Of {len(right_rows)} right implementations {accused} are called wrong:",
            "",
            "| implementation | model | verdict | deviations listed |",
            "|---|---|---|---|",
            *right_rows,
            "",
            *mutant_lines(),
        ]
    )


def mutant_lines() -> list[str]:
    """Try all mutants and return what is said of them."""
    lines, all_of_them, all_passed = [], 0, 0
    for model in mutants.SOURCES:
        number, passed = mutants.tried(model)
        all_of_them, all_passed = all_of_them + number, all_passed + len(passed)
        name = model.replace("_", "-")
        lines += [f"- {name}: `{mutants.difference(model, text)}" for text in passed]
    return [
        f"Three right implementations were changed in one place at a time, in {all_of_them} ways: "
        f"{all_of_them - all_passed} of the changes are caught. The others are below; each of them "
        "computes the same: a factor that all components share cancels, as does one that all steps "
        "of a single sequence share, and more zeros add nothing.",
        "",
        *lines,
    ]


def main() -> None:
    """Renew the tables in the page."""
    made = tables()
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
