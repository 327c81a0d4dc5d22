"""From torch to what the runtime reads, and back: ONNX encoder, GGUF model and tokenizer."""
