"""`python -m uqkit.cli`."""

from uqkit.cli import main

main()
