"""A small base model from scratch: its text, tokenizer, training and figures."""
