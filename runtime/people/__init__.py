"""The people of this device: what they wrote and what was computed of them, kept in one file and forgotten with them.

What was acknowledged survives a kill; what was forgotten is gone to the byte.
"""
