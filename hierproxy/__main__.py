"""`python -m hierproxy`."""

from hierproxy import main

main()
