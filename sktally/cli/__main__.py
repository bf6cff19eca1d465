"""``python -m sktally.cli``."""

from sktally.cli import main

main()
