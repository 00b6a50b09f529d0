"""
Paired tests and intervals by scipy, for the comparison of two evaluations. Writes evaluate/pairs.json.

    pip install scipy numpy
    python make_evaluate_pairs.py
"""

import itertools
import json
import pathlib

import numpy as np
from scipy import stats

HERE = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(3)


def interval(differences):
    low, high = stats.t.interval(0.95, len(differences) - 1, loc=np.mean(differences), scale=stats.sem(differences))
    return [float(low), float(high)]


def exact_permutation(before, after):
    """All 2^n exchanges: how often the mean difference is as large."""
    differences = np.array(after) - np.array(before)
    observed = abs(differences.mean())
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    return float(np.mean(np.abs((signs * differences).mean(axis=1)) >= observed - 1e-12))


binary = []
for count, chance in [(12, 0.5), (25, 0.3), (30, 0.9), (31, 0.5), (8, 0.0)]:
    before = (rng.random(count) < 0.5).astype(int)
    after = np.where(rng.random(count) < chance, 1 - before, before)
    won, lost = int(((after - before) > 0).sum()), int(((after - before) < 0).sum())
    p = stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    changes = after - before
    binary.append({
        "before": before.tolist(), "after": after.tolist(), "won": won, "lost": lost, "p": float(p),
        "interval": interval(changes) if changes.any() else [0.0, 0.0],
    })

real = []
for count, shift in [(10, 0.0), (12, 0.4), (14, 1.0)]:
    before = rng.random(count).round(4)
    after = (before + shift * rng.random(count) + 0.2 * rng.normal(size=count)).round(4)
    real.append({
        "before": before.tolist(), "after": after.tolist(), "p": exact_permutation(before, after), "interval": interval(after - before),
    })

# Perplexity of paired log-likelihoods: the percentile bootstrap of the difference.
before = (-3 * rng.random(40)).round(4)
after = (before * 0.8 + 0.1 * rng.normal(size=40)).round(4)
difference = lambda a, b, axis=-1: np.exp(-b.mean(axis=axis)) - np.exp(-a.mean(axis=axis))
found = stats.bootstrap((before, after), difference, paired=True, method="percentile", n_resamples=100000, rng=rng).confidence_interval
perplexity = {
    "before": before.tolist(), "after": after.tolist(), "difference": float(difference(before, after)), "interval": [float(found.low), float(found.high)],
}

result = {"binary": binary, "real": real, "perplexity": perplexity}
(HERE / "evaluate" / "pairs.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
