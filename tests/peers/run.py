"""Run the peers' own tests, from the installed packages, with our classes in the place of theirs.

The tests that may not pass stand in exceptions.json by id, each with its reason. One that passes
after all, or that is no longer there, fails the run.
"""

import json
import os
import sys
from pathlib import Path

import pytest

from lockstep.models import estimators

HERE = Path(__file__).parent
FILES = (
    "sklearn.mixture.tests.test_gaussian_mixture",
    "sklearn.mixture.tests.test_mixture",
    "hmmlearn.tests.test_categorical_hmm",
)


class Substitution:
    """A pytest plugin: ours for theirs, and the list of exceptions."""

    def __init__(self) -> None:
        self.exceptions = json.loads((HERE / "exceptions.json").read_text("utf-8"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items):
        absent = dict(self.exceptions)
        for item in items:
            used = getattr(item.module, "GaussianMixture", None) or item.module.hmm.CategoricalHMM
            ours = used.__module__ == "lockstep.models.estimators"
            assert ours, f"{item.nodeid} does not use our class"
            test = f"{item.path.name}::{item.nodeid.partition('::')[2]}"
            if test in absent:
                item.add_marker(pytest.mark.xfail(reason=absent.pop(test), strict=True))
        if absent:
            raise pytest.UsageError(f"exceptions that are no tests any more: {sorted(absent)}")

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            test = f"{Path(report.location[0]).name}::{report.nodeid.partition('::')[2]}"
            assert test not in self.exceptions, f"{test} is skipped, so it is no exception"


def main() -> int:
    """Return pytest's exit status."""
    import hmmlearn.hmm
    import sklearn.mixture

    sklearn.mixture.GaussianMixture = estimators.GaussianMixture
    hmmlearn.hmm.CategoricalHMM = estimators.CategoricalHMM
    os.environ.setdefault("HMMLEARN_SEED", "0")  # its tests draw their data
    options = ["-q", "-rx", "--disable-warnings", "-p", "no:cacheprovider"]
    options += ["-c", str(HERE / "pytest.ini"), "--pyargs"]
    return int(pytest.main([*options, *FILES, *sys.argv[1:]], plugins=[Substitution()]))


if __name__ == "__main__":
    sys.exit(main())
