"""The process of a Python target: answers the questions of a `Channel`.

It speaks the protocol of ``--command`` (one JSON object a line), and understands a few questions
more. What the target prints goes to standard error, so that it cannot be taken for an answer.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from pathlib import Path
from time import perf_counter, sleep  # ours, whatever a target makes of the module
from typing import Any

from lockstep.comparisons.legible import legible, said


def main(target: str, model_name: str, folder: str, *said: str) -> None:
    """Answer questions until there are no more; `said` are meanings, as ``name=meaning``."""
    questions = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    os.environ["MPLBACKEND"] = "Agg"  # a notebook's plt.show() must not open a window
    _end_with_parent()

    serve = Server(target, model_name, Path(folder), dict(s.split("=", 1) for s in said))
    for line in questions:
        question = json.loads(line)
        answers.write(serve.line(question))
        answers.flush()


def _end_with_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Server:
    """A target with the questions it answers."""

    def __init__(
        self, target: str, model_name: str, folder: Path, said: dict[str, str] | None = None
    ) -> None:
        self.target, self.model_name, self.folder = target, model_name, folder
        self.said = said or {}
        self.adapter: Any = None

    def __call__(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the answer; an error of the target is an answer too."""
        try:
            answer: dict[str, Any] = getattr(self, f"do_{question['op']}")(question)
            return answer
        except BaseException as error:  # noqa: BLE001 - also SystemExit: the target's, not ours
            return self.trouble(error)

    def line(self, question: dict[str, Any]) -> str:
        """Return the answer as the line that is sent."""
        answer = {"id": question["id"], **self(question)}
        try:
            return json.dumps(answer) + "\n"
        except BaseException as error:  # noqa: BLE001 - something in it is no JSON
            return json.dumps({"id": question["id"], **self.trouble(error)}) + "\n"

    def trouble(self, error: BaseException) -> dict[str, Any]:
        """Return an exception as an answer."""
        frames = _frames(error, 50)
        theirs = [f for f in frames if Path(f.filename).parent != Path(__file__).parent]
        return {
            "error": said(error),
            "traceback": _shown(theirs),
            "memory": isinstance(error, MemoryError),
        }

    def do_describe(self, question: dict[str, Any]) -> dict[str, Any]:
        """Load the target and say what it is."""
        from lockstep.comparisons.validation import targets

        try:
            # Ours first: whatever the target does to the path, `models` is this project's.
            model = targets.model_named(self.model_name)
            targets.quiet()
            trial = bool(question.get("trial", True))
            self.adapter = targets.taken(self.target, self.folder, model, self.said, trial=trial)
            targets.quiet()
        except targets.TargetError as error:
            cause = error.__cause__
            shown = ""
            if cause is not None:
                shown = _shown(_frames(cause, 2))
            return {"unusable": str(error), "traceback": shown}
        known = question.get("one_sequence")
        if self.adapter.sequences and self.adapter.one_sequence is None and known is not None:
            self.adapter.one_sequence = known
        return {
            "kind": self.adapter.kind,
            "text": self.adapter.text,
            "from_start": self.adapter.from_start,
            "one_sequence": self.adapter.one_sequence if self.adapter.sequences else False,
            "estimator": isinstance(self.adapter, targets.Estimator),
            "pair": self.adapter.is_pair,
            "reading": self.adapter.told(),
            "only": self.adapter.only,
            "methods": targets.offered(self.adapter),
        }

    def do_takes_one(self, _: dict[str, Any]) -> dict[str, Any]:
        """Try whether only a single sequence gives an answer, or one of the right shapes."""
        import numpy as np

        from lockstep.comparisons.validation import problems

        problem = problems.general(self.model_name, 21, K=2, size=12, one=False)
        start, sequences = problem.start, [s.tolist() for s in problem.data]

        def tried(one: bool) -> int:
            self.adapter.one_sequence = one
            try:
                data = self.adapter.data(sequences[:1] if one else sequences)
                if self.adapter.from_start:
                    answer = self.adapter.iterate(start, data, 1)
                else:
                    answer = self.adapter.configured(data, 2, problem.n_features, 0)
                arrays = {k: np.asarray(a, float) for k, a in answer.parameters.items()}
            except BaseException:  # noqa: BLE001 - that is the answer
                return 0
            right = all(a.shape == start[k].shape for k, a in arrays.items())
            return 2 if right and all(np.isfinite(a).all() for a in arrays.values()) else 1

        self.adapter.one_sequence = tried(True) > tried(False)
        return {"one_sequence": self.adapter.one_sequence}

    def _given(self, question: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        import numpy as np

        start = {k: np.array(v, dtype=np.float64) for k, v in question["start"].items()}
        return start, self.adapter.data(question["data"])

    def do_iterate(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters after so many iterations."""
        from lockstep.comparisons.validation import targets

        start, data = self._given(question)
        kept = targets.copies(data)
        self.adapter.changed.clear()
        began = perf_counter()
        answer = self.adapter.iterate(start, data, question["iterations"])
        seconds = perf_counter() - began
        changed = set(self.adapter.changed)
        if not targets.same(data, kept):
            changed.add("data")
        return {
            **answer.to_json(),
            "seconds": seconds,
            "mutated": sorted(changed),
            "halves": answer.halves,
        }

    def do_expect(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return what the E-step expects, if it can be seen."""
        return {"expectation": self.adapter.expect(*self._given(question))}

    def do_configured(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return a fit from the target's own start."""
        began = perf_counter()
        data = self.adapter.data(question["data"])
        sizes = question["n_components"], question.get("n_features"), question.get("seed", 0)
        iterations = question.get("iterations")
        if iterations is not None and not self.adapter.counted:
            return {"uncounted": True}
        counted = {} if iterations is None else {"iterations": iterations}
        found: dict[str, Any] = self.adapter.configured(data, *sizes, **counted).to_json()
        return {**found, "seconds": perf_counter() - began}

    def do_habits(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return an estimator's habits, each measured."""
        from lockstep.comparisons.validation import habits

        return {"habits": habits.measured(self.adapter, *self._given(question))}

    def do_methods(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return what an estimator's methods say."""
        from lockstep.comparisons.validation import methods

        return methods.answers(self.adapter, *self._given(question), question)

    def do_fit(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return an estimator's fit with some settings."""
        from lockstep.comparisons.validation import methods

        return methods.fit(self.adapter, *self._given(question), question)


def _frames(error: BaseException, number: int) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__, limit=-number))


def _shown(frames: list[traceback.FrameSummary]) -> str:
    """Return frames as a traceback shows them; their lines may have any length."""
    return legible("".join(traceback.format_list(frames)), 20_000, lines=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
