"""Histories made fit for training: preprocessing, who and what is trained on, item words, invented people."""
