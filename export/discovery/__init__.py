"""Which facets a population differs in: found by statistics or by a language model, measured either way."""
