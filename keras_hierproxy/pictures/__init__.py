"""Pictures of a run, one a file. matplotlib is imported when one is drawn."""

from keras_hierproxy.pictures.dendrogram import plot_dendrogram as plot_dendrogram
from keras_hierproxy.pictures.neighbors import plot_neighbors as plot_neighbors
from keras_hierproxy.pictures.poincare_disk import (
    plot_poincare_disk as plot_poincare_disk,
)
from keras_hierproxy.pictures.recall import plot_recall as plot_recall
