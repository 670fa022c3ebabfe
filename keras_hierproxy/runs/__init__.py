"""The engine of the command line: training runs in folders, and their evaluation.

What its errors name are options of `hierproxy`.
"""

from keras.config import backend as backend

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
from keras_hierproxy.runs.evaluation import load_split as load_split
from keras_hierproxy.runs.fastest_backend import faster_backend as faster_backend
from keras_hierproxy.runs.folders import check_empty as check_empty
from keras_hierproxy.runs.place import Place as Place
from keras_hierproxy.runs.place import data_root as data_root
from keras_hierproxy.runs.place import name_of as name_of
from keras_hierproxy.runs.resume import resume_run as resume_run
from keras_hierproxy.runs.run import Run as Run
from keras_hierproxy.runs.trained import load_embedder as load_embedder
from keras_hierproxy.runs.tree import read_trees as read_trees
from keras_hierproxy.runs.tree import write_trees as write_trees
