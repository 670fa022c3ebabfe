"""The command `hierproxy`.

It stands outside the package because importing that imports Keras, which takes
seconds and settles the backend: here the help comes at once, and `--backend` in time.
"""

from hierproxy.application import app as app
from hierproxy.application import main as main

# Each adds its command to the application, in the order of the help.
from hierproxy import train, evaluate, compare, tree, zoo  # isort: skip  # noqa: F401
from hierproxy import embed, add, remove, search, calibrate, identify  # isort: skip  # noqa: F401
from hierproxy.serve import command  # isort: skip  # noqa: F401
