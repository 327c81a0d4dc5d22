"""The run folder: its settings, its files, and the states of people in it as training situations."""
