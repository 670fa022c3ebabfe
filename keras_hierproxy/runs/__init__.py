"""The engine of the command line: training runs in folders, and their evaluation.

What its errors name are options of `hierproxy`.
"""

from keras.config import backend as backend

from keras_hierproxy.gallery import Gallery as Gallery
from keras_hierproxy.gallery.plain import plain_answer as plain_answer
from keras_hierproxy.gallery.plain import plain_hits as plain_hits
from keras_hierproxy.report.hits import write_hits as write_hits
from keras_hierproxy.runs.adding import prepare_adding as prepare_adding
from keras_hierproxy.runs.adding import read_queries as read_queries
from keras_hierproxy.runs.compare import compare_runs as compare_runs
from keras_hierproxy.runs.data import load_data as load_data
from keras_hierproxy.runs.dry_run import dry_run as dry_run
from keras_hierproxy.runs.embed import EmbeddingJob as EmbeddingJob
from keras_hierproxy.runs.embed import prepare_embedding as prepare_embedding
from keras_hierproxy.runs.epoch_lines import EpochLines as EpochLines
from keras_hierproxy.runs.epoch_lines import image_bar as image_bar
from keras_hierproxy.runs.evaluation import evaluate_embeddings as evaluate_embeddings
from keras_hierproxy.runs.evaluation import evaluate_split as evaluate_split
from keras_hierproxy.runs.evaluation import evaluation_source as evaluation_source
from keras_hierproxy.runs.evaluation import holds_embeddings as holds_embeddings
from keras_hierproxy.runs.evaluation import is_gallery as is_gallery
from keras_hierproxy.runs.evaluation import load_split as load_split
from keras_hierproxy.runs.fastest_backend import faster_backend as faster_backend
from keras_hierproxy.runs.folders import check_empty as check_empty
from keras_hierproxy.runs.photos import find_photos as find_photos
from keras_hierproxy.runs.place import Place as Place
from keras_hierproxy.runs.place import data_root as data_root
from keras_hierproxy.runs.place import name_of as name_of
from keras_hierproxy.runs.resume import resume_run as resume_run
from keras_hierproxy.runs.run import Run as Run
from keras_hierproxy.runs.shown import shown_of as shown_of
from keras_hierproxy.runs.trained import load_embedder as load_embedder
from keras_hierproxy.runs.tree import read_trees as read_trees
from keras_hierproxy.runs.tree import write_trees as write_trees
