"""Every loss once more, in NumPy float64 and as slow as its equation reads.

Nothing here is shared with the package: sums are loops, angles are arccosines, and
a sample of weight n simply stands in the batch n times.
"""

import numpy as np


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cosines(x, proxies):
    """`(b, c)`, or `(b, c, k)` for proxies `(c, k, d)`."""
    return np.einsum("bd,...d->b...", unit(x), unit(proxies))


def negative_log_share(target, others):
    """`-log(exp(target) / (exp(target) + sum exp(others)))`"""
    shift = max([target, *others])
    total = np.exp(target - shift) + sum(np.exp(other - shift) for other in others)
    return np.log(total) - (target - shift)


def softmax_loss(labels, logits, target):
    """Mean cross-entropy, the logit of sample i's class taken from `target(i)`."""
    losses = [
        negative_log_share(target(i), np.delete(logits[i], label))
        for i, label in enumerate(labels)
    ]
    return np.mean(losses) if losses else 0.0


def proxy_anchor(labels, x, proxies, margin=0.1, alpha=32.0):
    s = cosines(x, proxies)
    positive, negative = [], []
    for c in range(len(proxies)):
        own, other = s[labels == c, c], s[labels != c, c]
        if len(own):
            positive.append(np.log1p(np.exp(-alpha * (own - margin)).sum()))
        negative.append(np.log1p(np.exp(alpha * (other + margin)).sum()))
    return (np.mean(positive) if positive else 0.0) + np.mean(negative)


def proxy_nca(labels, x, proxies, temperature=1.0):
    difference = unit(x)[:, None] - unit(proxies)[None]
    logits = -np.square(difference).sum(-1) / temperature
    return softmax_loss(labels, logits, lambda i: logits[i, labels[i]])


def normalized_softmax(labels, x, proxies, temperature=0.05):
    logits = cosines(x, proxies) / temperature
    return softmax_loss(labels, logits, lambda i: logits[i, labels[i]])


def soft_triple(labels, x, proxies, scale=20.0, gamma=0.1, margin=0.01):
    s = cosines(x, proxies if proxies.ndim == 3 else proxies[:, None])
    attention = np.exp(s / gamma)
    similarity = (attention * s).sum(-1) / attention.sum(-1)
    return softmax_loss(
        labels,
        scale * similarity,
        lambda i: scale * (similarity[i, labels[i]] - margin),
    )


def cosface(labels, x, proxies, margin=0.35, scale=64.0):
    s = cosines(x, proxies)
    return softmax_loss(labels, scale * s, lambda i: scale * (s[i, labels[i]] - margin))


def arcface(labels, x, proxies, margin=28.6, scale=64.0):
    return _angular_margin(labels, cosines(x, proxies), margin, scale)


def sub_center_arcface(labels, x, proxies, margin=28.6, scale=64.0):
    s = cosines(x, proxies if proxies.ndim == 3 else proxies[:, None])
    return _angular_margin(labels, s.max(-1), margin, scale)


def _angular_margin(labels, s, degrees, scale):
    margin = degrees * np.pi / 180.0

    def target(i):
        angle = np.arccos(s[i, labels[i]])
        if angle <= np.pi - margin:
            return scale * np.cos(angle + margin)
        return scale * (np.cos(angle) - margin * np.sin(margin))

    return softmax_loss(labels, scale * s, target)


def multi_similarity(labels, x, alpha=2.0, beta=50.0, base=0.5):
    s = cosines(x, x)
    losses = []
    for i in range(len(labels)):
        others = np.arange(len(labels)) != i
        own, other = s[i, others & (labels == labels[i])], s[i, labels != labels[i]]
        pull = np.log1p(np.exp(-alpha * (own - base)).sum()) / alpha
        push = np.log1p(np.exp(beta * (other - base)).sum()) / beta
        losses.append(pull + push)
    return np.mean(losses) if losses else 0.0


def sup_con(labels, x, temperature=0.1):
    s = cosines(x, x) / temperature
    losses = []
    for i in range(len(labels)):
        others = [j for j in range(len(labels)) if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        total = np.log(sum(np.exp(s[i, k]) for k in others))
        if positives:
            losses.append(np.mean([total - s[i, j] for j in positives]))
    return np.mean(losses) if losses else 0.0


def triplet(labels, x, margin=0.05):
    points = unit(x)
    d = np.linalg.norm(points[:, None] - points[None], axis=-1)
    b = range(len(labels))
    violations = [
        d[a, p] - d[a, n] + margin
        for a in b
        for p in b
        for n in b
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]
    violated = [violation for violation in violations if violation > 0]
    return np.mean(violated) if violated else 0.0


def hier_proxy(labels, x, levels, taxonomy, base, level_weights=None):
    """`levels` holds the proxies of each level, the classes' first."""
    if level_weights is None:
        level_weights = [1 / 2**level for level in range(len(levels))]
    value = level_weights[0] * base(labels, x, levels[0])
    for level in range(1, len(levels)):
        ancestors = np.array([taxonomy[label][level - 1] for label in labels], int)
        value += level_weights[level] * base(ancestors, x, levels[level])
    return value
