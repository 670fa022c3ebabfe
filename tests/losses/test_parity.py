"""Values and gradients equal PyTorch Metric Learning's, and a plain NumPy version's.

Gradients by embeddings and by proxies, to 1e-4 of their largest entry. Values to
1e-5: the backends agree with each other because each agrees with float64.
"""

import functools

import numpy as np
import pytest

from tests.golden import make_losses
from tests.gradients import assert_gradients_close
from tests.losses.cases import FLAT, HIERARCHICAL, SMALL


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(make_losses.PATH))


@functools.cache
def measure(case):
    return case.measure(SMALL.labels, SMALL.embeddings)


def peer_loss(case):
    peer = pytest.importorskip("pytorch_metric_learning.losses")
    settings = dict(case.settings)
    if not case.over_pairs:
        settings["num_classes"] = SMALL.num_classes
        settings["embedding_size"] = SMALL.embeddings.shape[1]
    if case.loss == "ProxyNCALoss":
        settings["softmax_scale"] = 1.0 / settings.pop("temperature", 1.0)
    if case.loss == "SoftTripleLoss":
        settings["la"] = settings.pop("scale", 20.0)
        settings["centers_per_class"] = case.centers_per_class
    if case.loss == "SubCenterArcFaceLoss":
        settings["sub_centers"] = case.centers_per_class
    name = {"TripletLoss": "TripletMarginLoss"}.get(case.loss, case.loss)
    return getattr(peer, name)(**settings)


def measure_peer(case):
    """PyTorch Metric Learning in float64, on the CPU; gradients as in `measure`."""
    torch = pytest.importorskip("torch")
    loss = peer_loss(case)
    embeddings = torch.tensor(SMALL.embeddings, requires_grad=True, device="cpu")
    labels = torch.tensor(SMALL.labels, device="cpu")
    # Some keep their proxies as rows, `proxies`, some as columns, `W` or `fc`.
    named = list(loss.named_parameters())
    for (name, parameter), proxies in zip(named, case.proxies(), strict=True):
        rows = torch.tensor(proxies.reshape(-1, proxies.shape[-1]), device="cpu")
        parameter.data = rows if name == "proxies" else rows.T.clone()
    value = loss(embeddings, labels)
    parameters = [parameter for _, parameter in named]
    by_embeddings, *gradients = torch.autograd.grad(value, [embeddings, *parameters])
    by_proxies = [
        gradient.numpy() if name == "proxies" else gradient.T.numpy()
        for (name, _), gradient in zip(named, gradients, strict=True)
    ]
    return value.item(), by_embeddings.numpy(), by_proxies


def assert_equal(measured, expected):
    value, (by_embeddings,), by_proxies = measured
    expected_value, expected_by_embeddings, expected_by_proxies = expected
    assert value == pytest.approx(expected_value, rel=1e-5)
    assert_gradients_close(by_embeddings, expected_by_embeddings)
    for actual, gradient in zip(by_proxies, expected_by_proxies, strict=True):
        assert_gradients_close(actual, gradient.reshape(actual.shape))


@pytest.mark.parametrize("case", FLAT, ids=str)
def test_equals_pytorch_metric_learning(case):
    assert_equal(measure(case), measure_peer(case))


@pytest.mark.parametrize("case", FLAT + HIERARCHICAL, ids=str)
def test_equals_numpy(case, golden):
    by_proxies = [golden[f"{case}/by_proxies{i}"] for i in range(len(case.proxies()))]
    expected = golden[f"{case}/value"], golden[f"{case}/by_embeddings"], by_proxies
    assert_equal(measure(case), expected)


def test_a_sample_lies_beyond_the_reach_of_the_angular_margin():
    own = SMALL.proxies()[SMALL.labels[0]]
    x = SMALL.embeddings[0]
    cosine = x @ own / np.linalg.norm(x) / np.linalg.norm(own)
    assert np.degrees(np.arccos(cosine)) > 180 - 15
