"""Whatever a candidate does there is a verdict, no process is left, and no text does harm."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hostile
from lockstep.comparisons import legible
from lockstep.comparisons.legible import said
from lockstep.comparisons.validation import channel, keeper
from lockstep.comparisons.validation.binding import read
from lockstep.comparisons.validation.candidate import _result
from lockstep.comparisons.validation.channel import Channel, StartError, TroubleError

NAMES = ("weights", "means", "variances")
RIGHT = (np.array([0.4, 0.6]), np.array([1.0, 2.0]), np.array([4.0, 9.0]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "act", "code", "message"),
    [
        ("step", "daemon", 0, "Valid"),
        ("import", "nameless", 0, "Valid"),
        ("later", "orphan", 0, "Valid"),
        ("step", "comet", None, ""),
        ("step", "twin", 1, "does not have the id"),
        ("step", "kills its parent", 1, "ended itself and what watched it"),
        ("step", "mute", 2, "Mute, whose text raises a ValueError"),
        ("step", "endless words", 2, "characters more"),
        ("step", "surrogates", 2, r"\ud800\udfff \u202e \x85"),
        ("step", "sys.exit", 2, r"SystemExit: \x1b[2J\ud83d"),
        ("step", "digits", 2, "ValueError: "),
        ("step", "lazy memory", 1, "more than 4 GiB of memory"),
        ("step", "noise on stderr", 0, "Valid"),
        ("step", "garbage", 1, "which is no JSON"),
        ("import", "forged", 2, "it answers in our place"),
        ("import", "foreign", 0, "Valid"),
        ("step", "no time", 0, "Valid"),
        ("value", "dictionary", 2, ""),
    ],
)
def test_a_hostile_candidate_gets_its_verdict(
    tmp_path, monkeypatch, capfd, place, act, code, message
):
    chosen = ("interface", "untouched", "first-step")
    few = tuple(c for c in hostile.checks.CHECKS if c.name in chosen)
    monkeypatch.setattr(hostile.checks, "CHECKS", few)
    wrong, ended, text = hostile.run(place, act, tmp_path)
    assert wrong == []
    assert code in (None, ended), text
    assert message in " ".join(text.split())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda a: a.astype(np.complex64), "complex numbers"),
        (lambda a: a + 0j, "complex numbers"),
        (lambda a: a.astype("U30"), "text"),
        (lambda a: [str(x) for x in a], "text"),
        (lambda a: a.astype(bytes), "bytes"),
        (lambda a: a.astype(object), "objects of Python"),
        (lambda a: a > 1, "truth values"),
        (lambda a: a.astype("datetime64[D]"), "dates"),
        (lambda a: a.astype("timedelta64[h]"), "durations"),
        (lambda a: a.view([("x", "f8")]), "records"),
        (lambda a: iter(a), "a .*iterator"),
        (lambda a: __import__("scipy.sparse").sparse.csr_array(a[None]), "a csr_array"),
        (lambda a: np.ma.masked_all(a.shape), "masked, in 2 of 2 places"),
        (lambda a: np.ma.masked_less(a, 5.0), "masked, in 1 of 2 places"),
        (lambda a: np.broadcast_to(1.0, (10**6, 10**6)), "too large to be right"),
    ],
)
@pytest.mark.parametrize("place", range(3))
def test_what_is_no_array_of_real_numbers_is_named(change, what, place):
    answer = list(RIGHT)
    answer[place] = change(RIGHT[2])
    with pytest.raises(ValueError, match=f"the {NAMES[place]} returned .*({what})"):
        read(tuple(answer), NAMES, NAMES)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.tolist(),
        lambda a: a.astype(np.float32),
        lambda a: a.astype(np.longdouble),
        lambda a: a.astype(">f8"),
        lambda a: np.ma.masked_array(a, False),
        lambda a: __import__("pandas").Series(a),
        lambda a: a.view(type("Own", (np.ndarray,), {})),
    ],
)
def test_arrays_as_people_have_them_are_read(change):
    answer = read(tuple(map(change, RIGHT)), NAMES, NAMES)
    for name, right in zip(NAMES, RIGHT):
        np.testing.assert_allclose(answer.parameters[name], right, rtol=1e-7)


@pytest.mark.parametrize(
    ("score", "expected"),
    [(-3.5, -3.5), ([-9.0, -3.5], -3.5), (True, None), ("-3.5", None), ({"a": 1}, None)],
)
def test_a_log_likelihood_is_a_number_or_there_is_none(score, expected):
    assert read((*RIGHT, score), NAMES, NAMES).log_likelihood == expected


@pytest.mark.parametrize("score", [1j, np.complex128(-3.5), [1.0, 2j], np.ma.masked, 10**4000])
def test_a_log_likelihood_that_is_no_real_number_is_refused(score):
    with pytest.raises(ValueError, match="log-likelihood returned is no number"):
        read((*RIGHT, score), NAMES, NAMES)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (["0.4", "0.6"], "no array of numbers"),
        ([True, False], "no array of numbers"),
        ([0.4, [0.6]], "no array of numbers"),
        ({"0": 0.4}, "no array of numbers"),
        ([10**4000, 1], "an integer too large"),
    ],
)
def test_a_program_answers_in_numbers(weights, message):
    with pytest.raises(TroubleError, match=message):
        _result({"parameters": {"weights": weights}}, 1.0)


@pytest.mark.parametrize("seconds", ["1", True, -1.0, 1e300, float("nan"), [1.0], 10**400])
def test_a_clock_of_the_candidates_own_is_not_believed(seconds):
    answer = {"parameters": {"weights": [1, None]}, "seconds": seconds, "mutated": 5, "halves": {}}
    result = _result(answer, 1.0)
    assert result.seconds is None
    assert (result.mutated, result.halves) == ((), ())
    assert np.isnan(result.parameters["weights"][1])


@pytest.mark.parametrize("score", [True, "-3", [1.0], 10**4000])
def test_a_program_s_log_likelihood_is_a_number(score):
    with pytest.raises(TroubleError, match="which is no number"):
        _result({"parameters": {}, "log_likelihood": score}, 1.0)


# --- the channel --------------------------------------------------------------------------------


def program(code: str, limit: float = 20.0, **settings) -> Channel:
    return Channel([sys.executable, "-I", "-S", "-c", code], limit, **settings)


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("import os; os.kill(os.getpid(), 34)", "crashed", "by signal SIGRTMIN$"),
        ("import os; os.kill(os.getpid(), 50)", "crashed", r"by signal SIGRTMIN\+16"),
        ("import os; os.kill(os.getpid(), 64)", "crashed", "by signal SIGRTMAX"),
        ("import os; os.kill(os.getpid(), 15)", "crashed", "by signal SIGTERM"),
        ("import os, time; os.close(1); time.sleep(60)", "crashed", "without ending itself"),
        (
            "for _ in range(999): print(end='x' * 10**5)\ninput()",
            "rubbish",
            "longer than any answer",
        ),
        ("print('[' * 10**7); input()", "rubbish", "longer than any answer"),
        ("print('{},' * 10**7); input()", "rubbish", "longer than any answer"),
        (
            "print(end='\\x1b[2J\\x00\\n'); input()",
            "rubbish",
            r"'\\x1b\[2J\\x00', which is no JSON",
        ),
        ("print('1' * 5000); input()", "rubbish", "which is no JSON"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe\\n'); input()", "rubbish", "no JSON"),
        (
            "import os, time\nfor _ in range(40): os.fork() or time.sleep(60)\ntime.sleep(60)",
            "greedy",
            "processes at the same time, more than 20",
        ),
        (
            "a = bytearray(b'x') * 2**28; input(); input()",
            "greedy",
            r"more than 0\.0625 GiB of memory",
        ),
        (
            "import os, time\nfor _ in range(4):\n"
            " if not os.fork(): a = bytearray(b'x') * 2**25; time.sleep(60)\ntime.sleep(60)",
            "greedy",
            r"more than 0\.0625 GiB of memory",
        ),
    ],
)
def test_a_program_that_ends_badly_is_told_how(tmp_path, monkeypatch, code, kind, message):
    own = Path(keeper.__file__).read_text("utf-8").replace("PROCESSES = 2_000", "PROCESSES = 20")
    (tmp_path / "keeper.py").write_text(own, "utf-8")  # it runs by itself: no patch reaches it
    monkeypatch.setattr(keeper, "__file__", str(tmp_path / "keeper.py"))
    monkeypatch.setattr(keeper, "PROCESSES", 20)
    with program(code, memory=2**26) as asked, pytest.raises(TroubleError, match=message) as found:
        asked.ask({})
    assert found.value.kind == kind
    assert found.value.message.isprintable()


ECHO = """
import json, sys
for line in sys.stdin:
    {}
    print(json.dumps({{"id": json.loads(line)["id"], "parameters": {{}}}}), flush=True)
"""


@pytest.mark.parametrize(
    "before",
    [
        "sys.stderr.write('\\x1b[31m' * 10**7)",
        "sys.stderr.write('x\\n' * 10**7)",
        "for _ in range(1000): print(end='\\n' * 1000)",
    ],
)
def test_noise_is_drained_and_does_not_block(before):
    with program(ECHO.format(before)) as asked:
        assert asked.ask({})["parameters"] == {}
        assert asked.ask({})["parameters"] == {}
        assert len(asked._last_words) <= channel.LAST_WORDS


def test_lines_that_nobody_asked_for_are_not_kept():
    with program(ECHO.format("") + "\nimport time; time.sleep(9)") as asked:
        asked.ask({})
    flood = ECHO.format("").replace("flush=True)", "flush=True); print('x\\n' * 10**6)")
    with program(flood) as asked:
        asked.ask({})
        time.sleep(0.5)
        assert asked._lines.qsize() <= channel.WAITING


def test_the_last_words_are_those_before_the_end():
    code = "import sys; sys.stderr.write(f'{2**40} ' + 'x' * 10**6 + '\\n\\x1b[1mlast\\ud800')"
    with program(code) as asked, pytest.raises(TroubleError) as found:
        asked.ask({})
    assert found.value.detail.endswith("x\n\\x1b[1mlast\\ud800")
    assert str(2**40) not in found.value.detail
    assert len(found.value.detail) <= channel.DETAIL


@pytest.mark.parametrize("command", ["no-such-program", "/", "/etc/passwd", "no\x1bsuch\ud800"])
def test_a_program_that_cannot_be_run_is_named(command):
    with pytest.raises(StartError, match="cannot run ") as found, Channel([command], 5.0) as asked:
        asked.ask({})
    assert str(found.value).isprintable()


@pytest.mark.parametrize("how", ["at once", "in its time", "after its keeper"])
def test_a_closed_channel_leaves_nothing(how):
    code = (
        "import os, time\n"
        "for _ in range(3):\n"
        "    if not os.fork(): os.setsid(); os.fork(); os.setpgid(0, 0); time.sleep(60)\n"
    )
    asked = program(code + ECHO.format(""))
    asked.ask({})
    mark, kept = asked._mark, asked._process
    assert len(keeper.marked(mark)) >= 7
    assert len(keeper.family(kept.pid)) >= 7
    if how == "after its keeper":
        kept.kill()
        kept.wait()
    asked.close(at_once=how == "at once")
    assert keeper.marked(mark) == []


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\r\nb\tc", r"a\r\nb    c"),
        ("\ud800", r"\ud800"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("un\xa0mot \u4e2d\U0001f600 é", "un mot \u4e2d\U0001f600 é"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_control_characters_are_spelled_out(text, shown):
    assert legible.legible(text) == shown
    legible.legible(text).encode()


def test_long_text_is_clipped_at_the_right_end():
    assert legible.legible("a" * 5000, 10) == "a" * 10 + "... (4,990 characters more)"
    log = legible.legible("".join(f"{n}\n" for n in range(1000)), 20, lines=True)
    assert log.endswith("998\n999")
    assert len(legible.legible("\x00" * 10**6)) < 5 * legible.MOST


class Sub(str):
    __slots__ = ()

    def __format__(self, _):
        raise KeyError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (lambda _: 5, "Odd, whose text raises a TypeError"),
        (lambda _: 1 / 0, "Odd, whose text raises a ZeroDivisionError"),
        (lambda _: sys.exit(3), "Odd, whose text raises a SystemExit"),
        (lambda _: Sub("a\x00"), r"Odd: a\x00"),
    ],
)
def test_an_exception_whose_text_cannot_be_had(text, shown):
    assert said(type("Odd", (Exception,), {"__str__": text})()) == shown


def test_json_in_an_answer_is_made_legible():
    line = json.dumps({"id": "q1", "error": "\x1b[31m\ud800", "traceback": "a\nb\x07"}).encode()
    found = channel._parsed(line)
    assert found == {"id": "q1", "error": r"\x1b[31m\ud800", "traceback": "a\nb\\x07"}
