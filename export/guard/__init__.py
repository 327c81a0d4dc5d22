"""The factuality guard: questions that a persona bends, where in the model it shows, and what is done against it."""
