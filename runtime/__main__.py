"""`python -m copersona.runtime` is the `copersona` command."""

from copersona.runtime.cli import main

main()
