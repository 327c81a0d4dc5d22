"""One file a format: how it is recognised, who wrote in it, and its records as own texts or named reasons."""
