# Homework 3: fit a mixture of two normal distributions with EM
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

rng = np.random.default_rng(100)
data = np.concatenate([rng.normal(0, 1, 210), rng.normal(5, 1, 90)])
N = len(data)
K = 2

# start
mu = rng.choice(data, K)
sigma = np.full(K, data.std())
pi = np.full(K, 1 / K)
log_likelihoods = []

for iteration in range(20):
    # E-step
    gamma = np.zeros((N, K))
    for k in range(K):
        gamma[:, k] = pi[k] * norm.pdf(data, mu[k], sigma[k])
    gamma /= gamma.sum(axis=1, keepdims=True)

    # M-step
    N_k = gamma.sum(axis=0)
    for k in range(K):
        mu[k] = (gamma[:, k] * data).sum() / N_k[k]
        sigma[k] = np.sqrt((gamma[:, k] * (data - mu[k]) ** 2).sum() / N_k[k])
        pi[k] = N_k[k] / N

    density = sum(pi[k] * norm.pdf(data, mu[k], sigma[k]) for k in range(K))
    log_likelihood = np.log(density).sum()
    log_likelihoods.append(log_likelihood)
    print(f"iteration {iteration + 1}: log-likelihood {log_likelihood:.4f}")

print("means", mu, "standard deviations", sigma, "weights", pi)
plt.plot(log_likelihoods)
plt.xlabel("iteration")
plt.show()
