"""`python -m copersona.runtime` is the `copersona` command."""

from copersona.runtime.cli.main import main

main()
