"""What the tables of a recipe have in common."""

import pydantic
from pydantic_core import PydanticCustomError

from keras_hierproxy.checks import did_you_mean


class Table(pydantic.BaseModel):
    """A table of a recipe: no field but its own, no value of another type.

    A field that is None is left out: there is no such value in a file.
    """

    model_config = pydantic.ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _know_all_fields(cls, values):
        if isinstance(values, dict):
            for name in values:
                if name not in cls.model_fields:
                    raise refusal(name, unknown(name, cls.model_fields))
            values = {n: value for n, value in values.items() if value is not None}
        return values


def refusal(field, explanation, *received):
    """The error to raise of a field, in words of ours.

    Args:
        field: str, its name; empty where the whole table is meant.
        explanation: str.
        *received: the value, where the explanation does not hold it.
    """
    context = {"field": field, "explanation": explanation}
    if received:
        context["received"] = received[0]
    return PydanticCustomError("refusal", "{explanation}", context)


def unknown(name, known):
    """What to say of a name that is not among the known ones."""
    return f"is unknown.{nearest(name, known)} There is: {', '.join(known)}."


def nearest(name, known):
    """A sentence, with a space before it, that names the nearest spelling; or ''."""
    return did_you_mean(name, known, show=str)
