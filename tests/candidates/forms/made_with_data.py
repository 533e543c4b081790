"""Classes that are made with the data."""

import numpy as np


class Welch:
    """Takes all when it is made, and gives back two of three."""

    def __init__(self, observ_seq, p, q, b_0, max_iter=30):
        self.observ_seq, self.p, self.q, self.b_0 = observ_seq, p, q, b_0
        self.max_iter = max_iter

    def fit(self):
        """Iterate."""
        o, T = self.observ_seq, len(self.observ_seq)
        for _ in range(self.max_iter):
            f = [self.b_0 * self.q[:, o[0]]]
            for t in range(1, T):
                f.append(f[-1] @ self.p * self.q[:, o[t]])
            b = [np.ones(len(self.p))]
            for t in range(T - 1, 0, -1):
                b.insert(0, self.p @ (self.q[:, o[t]] * b[0]))
            whole = f[-1].sum()
            seen = np.array(f) * np.array(b) / whole
            moved = sum(np.outer(f[t], self.q[:, o[t + 1]] * b[t + 1]) for t in range(T - 1))
            moved = moved * self.p / whole
            self.p = moved / moved.sum(1, keepdims=True)
            shown = np.array([seen[o == k].sum(0) for k in range(self.q.shape[1])]).T
            self.q = shown / shown.sum(1, keepdims=True)
        return {"Transition": self.p, "Emission": self.q}


class Holder:
    """Keeps what it is given: its update hands back what it makes, and nothing calls it."""

    def __init__(self, observations, transition, emission, initial):
        self.observations, self.transition = observations, transition
        self.emission, self.initial = emission, initial

    def likelihood(self):
        """Return the likelihood."""
        f = self.initial * self.emission[:, self.observations[0]]
        for o in self.observations[1:]:
            f = f @ self.transition * self.emission[:, o]
        return f.sum()


class Unstored:
    """Its steps hand back what they make, and keep none of it."""

    def __init__(self, k):
        self.k = k
        self.transition, self.emission, self.initial = np.eye(k), np.eye(k), np.ones(k) / k

    def expectation(self, sequence):
        """Return something like a posterior."""
        return self.initial * self.emission[:, sequence]

    def maximization(self, sequence, gamma):
        """Return what nobody stores."""
        return gamma.sum(0), gamma.T @ gamma, sequence
