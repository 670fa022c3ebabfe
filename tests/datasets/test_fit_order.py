"""The batches that `fit` trains on, on each backend."""

import threading

import keras
import numpy as np
import pytest

from keras_hierproxy import layers, losses, models
from keras_hierproxy.datasets import RetrievalDataset


class Recorder(keras.Model):
    """Records the labels of the batches that it trains on."""

    def __init__(self):
        super().__init__()
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(1)
        self.trained_on = []

    def call(self, x):
        return self.dense(self.flatten(x))

    def train_step(self, *args):
        labels = keras.ops.convert_to_numpy(args[-1][1])
        self.trained_on.append(labels.ravel().tolist())
        return super().train_step(*args)


class SetEpoch(keras.callbacks.Callback):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch


@pytest.fixture
def data():
    # One image a class: labels tell which images a batch holds.
    return RetrievalDataset(np.zeros((22, 2, 2, 1), "uint8"), np.arange(22))


def recorder():
    model = Recorder()
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def expected(data, epochs):
    """Six batches an epoch, the last one smaller."""
    batches = data.batches(4, seed=3)
    order = []
    for batches.epoch in epochs:
        order += [labels.tolist() for _, labels in batches]
    return order


def fit(model, batches, **options):
    options = {"epochs": 3, "shuffle": False, "verbose": 0} | options
    model.fit(batches, **options)
    return model.trained_on


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_set_by_a_callback(data, workers):
    batches = data.batches(4, seed=3, workers=workers)
    trained_on = fit(recorder(), batches, callbacks=[SetEpoch(batches)])
    assert trained_on == expected(data, range(3))


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_that_nobody_sets(data, workers):
    batches = data.batches(4, seed=3, workers=workers)
    assert fit(recorder(), batches) == expected(data, range(3))
    assert batches.epoch == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(data, workers):
    batches = data.batches(4, seed=3, workers=workers)
    trained_on = fit(
        recorder(), batches, initial_epoch=2, epochs=4, callbacks=[SetEpoch(batches)]
    )
    assert trained_on == expected(data, (2, 3))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_second_fit_goes_on(data, workers):
    batches = data.batches(4, seed=3, workers=workers)
    model = recorder()
    fit(model, batches, epochs=1)
    assert fit(model, batches, epochs=2) == expected(data, range(3))


def test_validation_between_epochs_changes_nothing(data):
    batches = data.batches(4, seed=3)
    trained_on = fit(
        recorder(), batches, validation_data=data.batches(8, shuffle=False)
    )
    assert trained_on == expected(data, range(3))


def test_an_epoch_cut_short_does_not_count(data):
    class StopAfterTwo(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    batches = data.batches(2, seed=3)
    model = recorder()
    fit(model, batches, callbacks=[StopAfterTwo()])
    assert len(model.trained_on) == 2
    batches.epoch = 0
    fit(model, batches, epochs=1)
    order = data.batches(2, seed=3)
    assert model.trained_on[2:] == [labels.tolist() for _, labels in order]


class WaitUntilMade(keras.callbacks.Callback):
    """Ends a step only when the batch after the next one has been made."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def on_train_batch_end(self, batch, logs=None):
        ahead = min(batch + 2, len(self.made) - 1)
        assert self.made[ahead].wait(timeout=20), f"batch {ahead} is not being made"


@pytest.mark.parametrize("of_this_package", [False, True])
def test_batches_are_made_while_the_model_trains(of_this_package):
    made = [threading.Event() for _ in range(11)]

    def signal(images, rng):
        made[int(images.max())].set()
        return images

    # Pixels say which batch an image is of.
    images = np.repeat(np.arange(11, dtype="uint8"), 2).reshape(-1, 1, 1, 1)
    data = RetrievalDataset(np.tile(images, (1, 2, 2, 1)), np.arange(22))
    batches = data.batches(2, shuffle=False, augment=signal, workers=1)
    if of_this_package:
        inputs = keras.Input((2, 2, 1))
        x = keras.layers.Dense(4)(keras.layers.Flatten()(inputs))
        model = models.EmbeddingModel(inputs, layers.Proxies(22)(x))
        model.compile("sgd", losses.ProxyAnchorLoss())
    else:
        model = recorder()
    model.fit(batches, shuffle=False, verbose=0, callbacks=[WaitUntilMade(made)])
    assert all(event.is_set() for event in made)


def test_keras_shuffles_batches_but_not_what_is_in_them(data):
    trained_on = fit(recorder(), data.batches(4, seed=3), epochs=1, shuffle=True)
    assert trained_on != expected(data, [0])
    assert sorted(trained_on) == sorted(expected(data, [0]))
