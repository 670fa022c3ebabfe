"""An augmentation in a recipe: a class of `khp.datasets` with its arguments."""

import inspect
import numbers

import pydantic

from keras_hierproxy.datasets import augment
from keras_hierproxy.recipes.table import refusal, unknown

_NOT_IN_A_FILE = ("KerasLayers",)  # takes layers


def classes():
    """The classes by name, those that `khp.datasets.augment` exports."""
    return {
        name: value
        for name, value in vars(augment).items()
        if isinstance(value, type) and name not in _NOT_IN_A_FILE
    }


class Augmentation(pydantic.BaseModel):
    """`name`, and whatever arguments the class has; what is left out is its default."""

    model_config = pydantic.ConfigDict(extra="allow", strict=True, frozen=True)

    name: str

    @pydantic.model_validator(mode="before")
    @classmethod
    def _fit_the_class(cls, values):
        if not isinstance(values, dict) or not isinstance(values.get("name"), str):
            return values
        known = classes()
        if values["name"] not in known:
            raise refusal("name", f"{values['name']} {unknown(values['name'], known)}")
        parameters = _parameters(known[values["name"]])
        for argument, value in values.items():
            if argument == "name":
                continue
            if argument not in parameters:
                raise refusal(argument, unknown(argument, parameters))
            if value is not None:  # else it is left out
                _check_type(argument, value, parameters[argument].default)
        values = {name: value for name, value in values.items() if value is not None}
        for argument, parameter in parameters.items():
            if parameter.default is parameter.empty and argument not in values:
                raise refusal(argument, "is missing.")
        defaults = {
            argument: _as_list(parameter.default)
            for argument, parameter in parameters.items()
            if parameter.default is not parameter.empty
        }
        values = {"name": values["name"], **defaults, **values}
        try:
            _build(values)
        except ValueError as error:
            raise refusal("", str(error)) from None
        # Absent is what a file can say instead of None.
        return {name: value for name, value in values.items() if value is not None}

    def build(self):
        """The augmentation, to be called as `(images, rng)`."""
        return _build(self.model_dump())


def _build(values):
    arguments = {name: value for name, value in values.items() if name != "name"}
    return classes()[values["name"]](**arguments)


def _parameters(augmentation):
    return inspect.signature(augmentation).parameters


def _check_type(argument, value, default):
    """As the default's: where that is a whole number, any number will do."""
    expected, fits = None, True
    if isinstance(default, bool):
        expected, fits = "true or false", isinstance(value, bool)
    elif isinstance(default, numbers.Real):
        expected, fits = "a number", _is_number(value)
    elif isinstance(default, str):
        expected, fits = "text in quotes", isinstance(value, str)
    elif isinstance(default, tuple | list):
        expected = f"a list of {len(default)} numbers"
        fits = (
            isinstance(value, list)
            and len(value) == len(default)
            and all(map(_is_number, value))
        )
    if not fits:
        raise refusal(argument, f"must be {expected}.", value)


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _as_list(value):
    return list(value) if isinstance(value, tuple) else value
