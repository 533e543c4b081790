"""Real data whose fits have been published: the eruptions of the Old Faithful geyser."""

from __future__ import annotations

import csv
from pathlib import Path

from lockstep.comparisons.problem import Mode
from lockstep.comparisons.scenarios import Prepared, Published, Scenario

DATA = Path(__file__).parent / "data"
MIXTOOLS = "Benaglia, Chauveau, Hunter and Young (2009), mixtools, J. Stat. Software 32(6)"
MCLUST = "mclust (Scrucca, Fop, Murphy and Raftery 2016), model VVV with 2 components"
ZUCCHINI = "Zucchini, MacDonald and Langrock (2016), Hidden Markov Models for Time Series"
OPTIMUM = "the optimum, by EM in 30-digit arithmetic"

WAITING_OPTIMUM = {
    "weights[0]": "0.36088607",
    "weights[1]": "0.63911393",
    "means[0]": "54.6148561",
    "means[1]": "80.0910694",
    "sds[0]": "5.8712194",
    "sds[1]": "5.8677344",
}
WAITING_UNEQUAL = {
    "weights[0]": "0.3608868",
    "weights[1]": "0.6391132",
    "means[0]": "54.61489",
    "means[1]": "80.09109",
    "sds[0]": "5.871241",
    "sds[1]": "5.867718",
}
EARLY = (
    "printed where mixtools's tolerance of 1e-8 nats stopped it: at the printed values the "
    "log-likelihood lies below the optimum by less than that, and its gradient is not zero"
)
WAITING_EQUAL = {
    "weights[0]": "0.3608498",
    "weights[1]": "0.6391502",
    "means[0]": "54.61364",
    "means[1]": "80.09031",
    "sds[0]": "5.869089",
    "sds[1]": "5.869089",
}
EQUAL = (
    "equal variances, a smaller model: its figures are the ninth iterate of EM from means 55 "
    "and 80 and sd 5, to the last digit"
)
EDGE = (
    "two probabilities are zero at the maximum; a posterior cannot be centred on an edge, so its "
    "mean lies farther below the maximum than theory for the interior has it"
)
FAITHFUL_OPTIMUM = {
    "weights[0]": "0.35587286",
    "weights[1]": "0.64412714",
    "means[0,0]": "2.03638845",
    "means[0,1]": "54.478516377",
    "means[1,0]": "4.28966197",
    "means[1,1]": "79.968115174",
    "covariances[0,0,0]": "0.069167673",
    "covariances[0,0,1]": "0.43516762",
    "covariances[0,1,1]": "33.6972821",
    "covariances[1,0,0]": "0.169968436",
    "covariances[1,0,1]": "0.94060932",
    "covariances[1,1,1]": "36.0462113",
}


def _figures(printed: dict[str, str], source: str, note: str = "") -> tuple[Published, ...]:
    return tuple(Published(name, figure, source, note) for name, figure in printed.items())


def _columns(file: str, *names: str) -> list[list[float]]:
    with (DATA / file).open(encoding="utf-8", newline="") as rows:
        return [[float(row[name]) for name in names] for row in csv.DictReader(rows)]


def faithful_1d() -> Prepared:
    """Read the 272 waiting times; start at two quantiles and the data's variance."""
    import numpy as np

    from lockstep.models import gaussian_mixture_1d as model

    x = np.array(_columns("faithful.csv", "waiting"))[:, 0]
    start = model.Parameters.of(
        weights=[0.5, 0.5], means=np.quantile(x, [0.25, 0.75]), variances=[x.var(), x.var()]
    )
    return Prepared(
        data=x,
        dims={"n_components": 2},
        start=start,
        reference=start,
        published=(
            Published("log_likelihood", "-1034.00174983", OPTIMUM),
            *_figures(WAITING_OPTIMUM, OPTIMUM),
            Published("log_likelihood", "-1034.002", "mixtools, unequal variances"),
            *_figures(WAITING_UNEQUAL, "mixtools, unequal variances", EARLY),
            Published("log_likelihood", "-1034.002", MIXTOOLS, EQUAL),
            *_figures(WAITING_EQUAL, MIXTOOLS, EQUAL),
        ),
        labels={"axes": ("waiting (min)",), "components": ("short", "long")},
    )


def faithful_2d() -> Prepared:
    """Read durations and waiting times; start at two quantiles and the data's covariance."""
    import numpy as np

    from lockstep.models import gaussian_mixture_2d as model

    x = np.array(_columns("faithful.csv", "eruptions", "waiting"))
    covariance = np.cov(x.T, bias=True)
    start = model.Parameters.of(
        weights=[0.5, 0.5],
        means=np.quantile(x, [0.25, 0.75], axis=0),
        covariances=[covariance, covariance],
    )
    return Prepared(
        data=x,
        dims={"n_components": 2},
        start=start,
        reference=start,
        published=(
            Published("log_likelihood", "-1130.264", MCLUST + "; Mplus agrees"),
            Published("bic_mclust", "-2322.192", MCLUST + ": 2 log L - df ln n"),
            Published("log_likelihood", "-1130.26396018", OPTIMUM),
            *_figures(FAITHFUL_OPTIMUM, OPTIMUM),
        ),
        labels={"axes": ("duration (min)", "waiting (min)"), "components": ("short", "long")},
    )


def geyser_hmm() -> Prepared:
    """Read the 299 durations as symbols: 1 for at least 3 minutes, 0 for less."""
    import numpy as np

    from lockstep.models import categorical_hmm as model

    symbols = np.array(_columns("geyser.csv", "long"))[:, 0].astype(np.int64)
    start = model.Parameters.of(
        startprob=[0.5, 0.5],
        transmat=[[0.3, 0.7], [0.7, 0.3]],
        emissionprob=[[0.7, 0.3], [0.2, 0.8]],
    )
    transmat = np.array([[0.0, 1.0], [0.827, 0.173]])
    stationary = np.array([transmat[1, 0], 1.0]) / (1.0 + transmat[1, 0])
    published = model.Parameters.of(
        startprob=stationary, transmat=transmat, emissionprob=[[0.775, 0.225], [0.0, 1.0]]
    )
    free = (
        "the book starts the chain from its stationary distribution (4 parameters); Baum-Welch "
        "and hmmlearn estimate the start freely (5), so their optimum lies higher and the "
        "estimates differ slightly"
    )
    return Prepared(
        data=(symbols,),
        dims={"n_components": 2, "n_features": 2},
        start=start,
        reference=published,
        published=(
            Published("log_likelihood", "-126.70776", "optimum recomputed, free start"),
            Published("log_likelihood", "-127.31", ZUCCHINI, at=published),
            Published("log_likelihood", "-127.31", ZUCCHINI, note=free),
            Published("transmat[0,0]", "0", ZUCCHINI, note=free),
            Published("transmat[0,1]", "1", ZUCCHINI, note=free),
            Published("transmat[1,0]", "0.827", ZUCCHINI, note=free),
            Published("transmat[1,1]", "0.173", ZUCCHINI, note=free),
            Published("emissionprob[0,1]", "0.225", ZUCCHINI, note=free),
            Published("emissionprob[1,1]", "1", ZUCCHINI, note=free),
        ),
        labels={"symbols": ("short", "long")},
    )


SCENARIOS = (
    Scenario(
        name="faithful-1d",
        title="Old Faithful: waiting times",
        model="gaussian_mixture_1d",
        lesson="Real data with a published fit, reproduced to the last printed digit.",
        n_iter=50,
        prepare=faithful_1d,
    ),
    Scenario(
        name="faithful-2d",
        title="Old Faithful: durations and waiting times",
        model="gaussian_mixture_2d",
        lesson="The textbook's picture of a mixture, against the optimum that mclust and Mplus "
        "print. Mind the sign: mclust's BIC is to be maximised, scikit-learn's minimised.",
        n_iter=50,
        prepare=faithful_2d,
    ),
    Scenario(
        name="geyser-hmm",
        title="Old Faithful: long and short eruptions as a Markov chain",
        model="categorical_hmm",
        lesson="Two estimates lie on the boundary: a short spell is never followed by another, "
        "and the long state never shows a short eruption. The likelihood's maximum is then at "
        "the edge of the posterior, not in its middle. The book starts the chain from its "
        "stationary distribution, with 4 parameters; here the start is free, a fifth one, and "
        "the maximum lies 0.6 nats above the book's -127.31.",
        n_iter=50,
        prepare=geyser_hmm,
        expected={
            ("hmmlearn", Mode.AS_CONFIGURED): "its default of 10 iterations ends before the "
            "optimum is reached",
            ("pymc-nuts", Mode.AS_CONFIGURED): EDGE,
            ("pymc-stock", Mode.AS_CONFIGURED): EDGE,
            ("pymc-advi", Mode.AS_CONFIGURED): EDGE,
            ("pymc-fullrank", Mode.AS_CONFIGURED): EDGE,
        },
    ),
)
