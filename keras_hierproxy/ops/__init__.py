"""Pure tensor functions on `keras.ops`: no state."""

from keras_hierproxy.ops.lca_triplets import lca_triplet_loss as lca_triplet_loss
from keras_hierproxy.ops.mutual_neighbors import mutual_neighbors as mutual_neighbors
from keras_hierproxy.ops.mutual_neighbors import sample_triplets as sample_triplets
from keras_hierproxy.ops.pairs import other_counts as other_counts
from keras_hierproxy.ops.pairs import same_label as same_label
from keras_hierproxy.ops.poincare import clip_to_radius as clip_to_radius
from keras_hierproxy.ops.poincare import exponential_map as exponential_map
from keras_hierproxy.ops.poincare import poincare_distance as poincare_distance
from keras_hierproxy.ops.poincare import riemannian_gradient as riemannian_gradient
from keras_hierproxy.ops.reductions import MASKED as MASKED
from keras_hierproxy.ops.reductions import at_own as at_own
from keras_hierproxy.ops.reductions import cross_entropy as cross_entropy
from keras_hierproxy.ops.reductions import is_own as is_own
from keras_hierproxy.ops.reductions import log_one_plus_sum_exp as log_one_plus_sum_exp
from keras_hierproxy.ops.reductions import log_weights as log_weights
from keras_hierproxy.ops.reductions import weighted_mean as weighted_mean
from keras_hierproxy.ops.replicas import between_replicas as between_replicas
from keras_hierproxy.ops.replicas import gather_replicas as gather_replicas
from keras_hierproxy.ops.replicas import num_data_shards as num_data_shards
from keras_hierproxy.ops.replicas import num_replicas as num_replicas
from keras_hierproxy.ops.similarity import center_similarity as center_similarity
from keras_hierproxy.ops.similarity import cosine_similarity as cosine_similarity
from keras_hierproxy.ops.similarity import l2_normalize as l2_normalize
from keras_hierproxy.ops.traced_random import LocalSeeds as LocalSeeds
