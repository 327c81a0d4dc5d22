"""A language model by llama.cpp: tokens in, logits, scores and generations out, after a soft prompt.

The only package that imports llama.cpp, and the one that writes turns. Works on numbers and token ids; knows nothing of
people or prompts.
"""
