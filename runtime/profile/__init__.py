"""From texts to facet profiles: the facets of a population, what a text measures, who says it (statistics or a model).

In: what a person wrote. Out: M facet profiles with reliability, quotes and vectors. Knows no other people.
"""
