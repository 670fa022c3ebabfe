"""The learning rate of one group."""

import keras

from keras_hierproxy import checks


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class GroupRate(keras.optimizers.schedules.LearningRateSchedule):
    """A group's rate: 0 for its frozen steps, then `rate * schedule(step)`.

    Args:
        rate: float of 0 or more.
        schedule: a `keras.optimizers.schedules.LearningRateSchedule` that the rate is
            multiplied by, from 1 downwards; None, the default, for a constant rate.
        frozen_steps: int, how many steps the rate is 0; 0 by default.

    Example:

    >>> rate = khp.optimizers.GroupRate(0.1, frozen_steps=2)
    >>> [round(float(rate(step)), 3) for step in range(4)]
    [0.0, 0.0, 0.1, 0.1]
    """

    def __init__(self, rate, schedule=None, frozen_steps=0):
        self.rate = checks.real("rate", rate, least=0)
        self.schedule = schedule
        self.frozen_steps = checks.integer("frozen_steps", frozen_steps, least=0)

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        factor = 1.0 if self.schedule is None else self.schedule(step)
        moving = keras.ops.cast(step >= self.frozen_steps, "float32")
        return moving * self.rate * factor

    def get_config(self):
        return {
            "rate": self.rate,
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "frozen_steps": self.frozen_steps,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(**{**config, "schedule": schedule})
