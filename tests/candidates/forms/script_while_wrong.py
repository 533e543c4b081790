# EM for two normal distributions, until nothing changes
import math

import matplotlib.pyplot as plt
import numpy as np


def normal(x, m, s):
    return np.exp(-0.5 * ((x - m) / s) ** 2) / (s * math.sqrt(2 * math.pi))


heights = np.loadtxt("heights_that_are_not_here.csv")
n_points = heights.size
m = np.array([160.0, 180.0])
s = np.array([8.0, 8.0])
w = np.array([0.5, 0.5])
previous = -np.inf
epsilon = 1e-6

plt.hist(heights)
plt.show()
while True:
    p = w * normal(heights[:, None], m, s)
    loglik = np.log(p.sum(axis=1)).sum()
    p /= p.sum(axis=1, keepdims=True)
    for k in range(2):
        total = p[:, k].sum()
        m[k] = (p[:, k] * heights).sum() / total
        s[k] = math.sqrt((p[:, k] * (heights - m[k]) ** 2).sum() / total)
        w[k] = total
    print(loglik, m, s, w)
    if loglik - previous < epsilon:
        break
    previous = loglik
input("Press Enter")
