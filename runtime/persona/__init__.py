"""From a profile to a persona: the place in the graph of similar people, what is borrowed from them, the soft prompt.

Numpy only; one function for the device and for training.
"""
