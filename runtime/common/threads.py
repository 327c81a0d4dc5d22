"""How many threads may be asked for."""

MAX_THREADS = 256  # no machine that this is for has more cores, and llama.cpp ends the process over some 500
