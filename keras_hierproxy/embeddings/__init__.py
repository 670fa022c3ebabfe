"""Embeddings in a folder, in an open format: `hierproxy embed` writes them.

embeddings.npy   array (n, d), float32 or float16: points of the geometry
items.csv        a line for each of its rows: the row, the path of the image, its role
                 (query or gallery) where the data has roles, and the id and the name
                 of its class at each level, finest first
embeddings.json  what they are: the model and its SHA-256, its geometry, the data,
                 versions, all class names, and the images that were left out

A gallery that changes, `khp.Gallery`, may hold beside them

ids.npy          int64 array, the id of each row, where these are not the rows
removed.npy      int64 array of rows that are no longer there
embedder.keras   the model

and has a number behind the names of files that were written anew. Of each file only so
many bytes count as embeddings.json says.

A folder that holds progress.json is not finished: the command that began it goes on
where it stopped.
"""

from keras_hierproxy.embeddings.batch_embedder import BatchEmbedder as BatchEmbedder
from keras_hierproxy.embeddings.reader import Embeddings as Embeddings
from keras_hierproxy.embeddings.reader import load as load
from keras_hierproxy.embeddings.writer import EmbeddingWriter as EmbeddingWriter
