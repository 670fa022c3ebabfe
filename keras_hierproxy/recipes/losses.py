"""The losses that a recipe can name, with all of their arguments."""

from typing import Annotated, Literal, Union

import pydantic

from keras_hierproxy.checks import WrongArgument
from keras_hierproxy.losses import registry
from keras_hierproxy.recipes.table import Table, refusal

Positive = Annotated[float, pydantic.Field(gt=0)]
NotNegative = Annotated[float, pydantic.Field(ge=0)]
Count = Annotated[int, pydantic.Field(ge=1)]


CLASSES = registry.losses()
OVER_PROXIES = tuple(registry.over_proxies())


class Loss(Table):
    """A term of the loss. A child has the name, and every argument of its class."""

    weight: Positive = 1.0

    @pydantic.model_validator(mode="after")
    def _has_an_object(self):
        try:
            self.build_loss()
        except WrongArgument as error:
            raise refusal(error.argument, error.explanation, error.received) from None
        except ValueError as error:
            raise refusal("", str(error)) from None
        return self

    def build_loss(self, geometry=None):
        """The loss, for points of a geometry; its weight is for the sum that it is in.

        Args:
            geometry: of `khp.geometry`; for losses that have one.
        """
        loss = CLASSES[self.name]
        arguments = self.model_dump(exclude={"name", "weight"}, exclude_none=True)
        if registry.takes_geometry(loss):
            arguments["geometry"] = geometry
        return loss(**arguments)


def _table(name, loss):
    """The child of `Loss` for a class, in which no argument but None is a default."""
    fields = {
        argument: (kind, None if default is None else ...)
        for argument, (kind, default) in registry.arguments(loss).items()
    }
    return pydantic.create_model(
        loss.__name__, __base__=Loss, name=(Literal[name], ...), **fields
    )


AnyLoss = Annotated[
    Union[tuple(_table(name, loss) for name, loss in CLASSES.items())],  # noqa: UP007
    pydantic.Field(discriminator="name"),
]
