"""An evaluation as a page to look at: one HTML file that needs nothing else.

write.py                       the page, from its parts
search.py                      who retrieves whom
metrics.py, curve.py           numbers with their intervals, and Recall@K over K
neighbors.py, thumbnails.py    queries and what they retrieve, as images
classes.py, confusions.py      which classes go wrong, and with which others
report.html.jinja, .css, .js   what it looks like
"""

from keras_hierproxy.report.write import write_report as write_report
