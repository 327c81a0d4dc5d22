"""A language model that is asked a question and answers in JSON: at an address, or in a GGUF on this machine.

Calls are remembered, counted, bounded and tried again. Knows nothing of what is asked.
"""
