"""A thin bundle and the base model that it names become a whole bundle: found, checked, merged, quantised, probed.

Uses `gguf` and numpy, never torch. Imports bundle, engine, filecheck and common.
"""
