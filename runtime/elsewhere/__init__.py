"""Personas in other programs of this machine: a plugin of `llm`, and files for programs that know nothing of us."""
