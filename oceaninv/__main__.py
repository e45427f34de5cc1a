"""``python -m oceaninv``: the command ``oceaninv`` where its folder is not on the path."""

from oceaninv.cli import main

main()
