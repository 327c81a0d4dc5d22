"""The people of this device: what they wrote and asked and what was computed of them, in one file, forgotten with them.

What was acknowledged survives a kill; what was forgotten is gone to the byte.
"""
