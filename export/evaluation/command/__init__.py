"""`copersona evaluate`: the whole of an evaluation, its control on invented people, and the command."""
