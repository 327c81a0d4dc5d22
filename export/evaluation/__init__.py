"""Evaluation: does the persona pay, which part pays, and when does it mislead?

Everything is measured through the runtime's public entry points, on what `splits.json` held out, one value a person.
"""
