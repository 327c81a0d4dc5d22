"""A bundle or a model with one part changed."""
