"""A 1D mixture as a program: no package, one JSON problem a line in, one answer a line out."""

import json
import math
import sys


def log_joint(p, x):
    return [
        math.log(w) - 0.5 * math.log(2 * math.pi * v) - (x - m) ** 2 / (2 * v)
        for w, m, v in zip(p["weights"], p["means"], p["variances"])
    ]


def log_sum(logs):
    top = max(logs)
    return top + math.log(math.fsum(math.exp(a - top) for a in logs))


def iterate(p, data):
    K = len(p["weights"])
    r = []
    for x in data:
        joint = log_joint(p, x)
        r.append([math.exp(a - log_sum(joint)) for a in joint])
    n = [math.fsum(row[k] for row in r) for k in range(K)]
    means = [math.fsum(row[k] * x for row, x in zip(r, data)) / n[k] for k in range(K)]
    return {
        "weights": [total / len(data) for total in n],
        "means": means,
        "variances": [
            math.fsum(row[k] * (x - means[k]) ** 2 for row, x in zip(r, data)) / n[k]
            for k in range(K)
        ],
    }


for line in sys.stdin:
    asked = json.loads(line)
    answer = {"id": asked["id"]}
    if asked["model"] != "gaussian_mixture_1d":
        answer["error"] = "a 1D mixture only"
    else:
        parameters = asked["start"]
        for _ in range(asked["iterations"]):
            parameters = iterate(parameters, asked["data"])
        if min(parameters["variances"]) > 0:
            answer["parameters"] = parameters
            answer["log_likelihood"] = math.fsum(
                log_sum(log_joint(parameters, x)) for x in asked["data"]
            )
        else:
            answer["error"] = "a variance fell to zero"
    print(json.dumps(answer), flush=True)
