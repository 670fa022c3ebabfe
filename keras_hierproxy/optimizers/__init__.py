"""One learning rate for each part of a metric-learning model."""

from keras_hierproxy.optimizers.group_rate import GroupRate as GroupRate
from keras_hierproxy.optimizers.groups import FROM_SCRATCH as FROM_SCRATCH
from keras_hierproxy.optimizers.groups import default_optimizer as default_optimizer
from keras_hierproxy.optimizers.groups import group_by_path as group_by_path
from keras_hierproxy.optimizers.groups import grouped as grouped
from keras_hierproxy.optimizers.row_wise import RowWise as RowWise
