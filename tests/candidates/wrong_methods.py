"""Drop-ins for the libraries' classes whose fit is right and one method, or setting, is not."""

import numpy as np
from hmmlearn.hmm import CategoricalHMM
from sklearn.mixture import GaussianMixture


class TotalScore(GaussianMixture):
    def score(self, X, y=None):
        return float(self.score_samples(X).sum())


class Unweighted(GaussianMixture):
    def score_samples(self, X):
        joint = self._estimate_log_prob(X)
        return np.logaddexp.reduce(joint, axis=1)

    def score(self, X, y=None):
        return GaussianMixture.score_samples(self, X).mean()


class Nearest(GaussianMixture):
    def predict(self, X):
        return np.abs(X[:, None] - self.means_).sum(axis=2).argmin(axis=1)


class Hard(GaussianMixture):
    def predict_proba(self, X):
        return np.eye(self.n_components)[self.predict(X)]


class OneTooMany(GaussianMixture):
    def bic(self, X):
        return super().bic(X) + np.log(len(X))


class HalfAic(GaussianMixture):
    def aic(self, X):
        return self._n_parameters() - 2 * len(X) * self.score(X) + self._n_parameters() / 2


class TooWide(GaussianMixture):
    def sample(self, n_samples=1):
        X, y = super().sample(n_samples)
        deviation = X - self.means_[y]
        return self.means_[y] + 1.2 * deviation, y


class EqualShares(GaussianMixture):
    def sample(self, n_samples=1):
        kept, self.weights_ = self.weights_, np.full(self.n_components, 1 / self.n_components)
        try:
            return super().sample(n_samples)
        finally:
            self.weights_ = kept


class OneStart(GaussianMixture):
    def fit(self, X, y=None):
        kept, self.n_init = self.n_init, 1
        try:
            return super().fit(X)
        finally:
            self.n_init = kept


class WorstStart(GaussianMixture):
    def fit(self, X, y=None):
        if self.n_init == 1:
            return super().fit(X)
        rng, found = np.random.RandomState(self.random_state), []
        for _ in range(self.n_init):
            settings = {**self.get_params(), "n_init": 1, "random_state": rng.randint(2**31 - 1)}
            found.append(GaussianMixture(**settings).fit(X))
        self.__dict__.update(min(found, key=lambda made: made.lower_bound_).__dict__)
        return self


class NoRidge(GaussianMixture):
    def fit(self, X, y=None):
        kept, self.reg_covar = self.reg_covar, 0.0
        try:
            return super().fit(X)
        finally:
            self.reg_covar = kept


class SquaredRidge(GaussianMixture):
    def fit(self, X, y=None):
        kept, self.reg_covar = self.reg_covar, self.reg_covar**2
        try:
            return super().fit(X)
        finally:
            self.reg_covar = kept


class WeightsIgnored(GaussianMixture):
    def fit(self, X, y=None, sample_weight=None):
        return super().fit(X)


class MeanScore(CategoricalHMM):
    def score(self, X, lengths=None):
        return super().score(X, lengths) / len(X)


class JoinedScore(CategoricalHMM):
    def score(self, X, lengths=None):
        return super().score(X)


class Underflowing(CategoricalHMM):
    def score(self, X, lengths=None):
        ends = np.cumsum([len(X)] if lengths is None else lengths)
        total = 0.0
        for x in np.split(np.ravel(X), ends[:-1]):
            alpha = self.startprob_ * self.emissionprob_[:, x[0]]
            for symbol in x[1:]:
                alpha = (alpha @ self.transmat_) * self.emissionprob_[:, symbol]
            total += np.log(alpha.sum())
        return total


class Filtered(CategoricalHMM):
    def score_samples(self, X, lengths=None):
        ends = np.cumsum([len(X)] if lengths is None else lengths)
        rows = []
        for x in np.split(np.ravel(X), ends[:-1]):
            alpha = self.startprob_ * self.emissionprob_[:, x[0]]
            rows.append(alpha / alpha.sum())
            for symbol in x[1:]:
                alpha = (rows[-1] @ self.transmat_) * self.emissionprob_[:, symbol]
                rows.append(alpha / alpha.sum())
        return super().score(X, lengths), np.array(rows)

    def predict_proba(self, X, lengths=None):
        return super().score_samples(X, lengths)[1]


class JoinedProbabilities(CategoricalHMM):
    def predict_proba(self, X, lengths=None):
        return super().predict_proba(X)


class PosteriorPath(CategoricalHMM):
    def decode(self, X, lengths=None, algorithm=None):
        path = self.score_samples(X, lengths)[1].argmax(axis=1)
        return super().decode(X, lengths)[0], path

    def predict(self, X, lengths=None):
        return super().decode(X, lengths)[1]


class LikelihoodOfThePath(CategoricalHMM):
    def decode(self, X, lengths=None, algorithm=None):
        return self.score(X, lengths), super().decode(X, lengths)[1]


class PosteriorPrediction(CategoricalHMM):
    def predict(self, X, lengths=None):
        return self.score_samples(X, lengths)[1].argmax(axis=1)


class PredictsOne(CategoricalHMM):
    def predict(self, X, lengths=None):
        return super().predict(X)


class BySequences(CategoricalHMM):
    def bic(self, X, lengths=None):
        n = sum(self._get_n_fit_scalars_per_param().values())
        return n * np.log(len(lengths)) - 2 * self.score(X, lengths)


class AllEntries(CategoricalHMM):
    def aic(self, X, lengths=None):
        n = self.startprob_.size + self.transmat_.size + self.emissionprob_.size
        return 2 * n - 2 * self.score(X, lengths)


class TransposedDraws(CategoricalHMM):
    def sample(self, n_samples=1, random_state=None, currstate=None):
        kept = self.transmat_
        self.transmat_ = kept.T / kept.T.sum(axis=1, keepdims=True)
        try:
            return super().sample(n_samples, random_state, currstate)
        finally:
            self.transmat_ = kept


class UniformStart(CategoricalHMM):
    def sample(self, n_samples=1, random_state=None, currstate=None):
        kept = self.startprob_
        self.startprob_ = np.full(len(kept), 1 / len(kept))
        try:
            return super().sample(n_samples, random_state, currstate)
        finally:
            self.startprob_ = kept
