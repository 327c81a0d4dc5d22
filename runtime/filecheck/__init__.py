"""Files of others, looked at before a parser in C sees them: GGUF, ONNX, tokenizers, npy, safetensors; and values.

Each check reads a header within bounds of its own and raises one line. Loads nothing.
"""
