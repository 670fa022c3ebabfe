"""The user's own images: a folder a class, or a CSV file."""

from keras_hierproxy.datasets.sources.csv_file import from_csv as from_csv
from keras_hierproxy.datasets.sources.directory import from_directory as from_directory
