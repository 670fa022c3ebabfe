"""What answers: items with names, found by their points; see `khp.Gallery`."""

from keras_hierproxy.gallery.answers import Answer as Answer
from keras_hierproxy.gallery.answers import Hits as Hits
from keras_hierproxy.gallery.gallery import Gallery as Gallery
from keras_hierproxy.gallery.thresholds import Threshold as Threshold
