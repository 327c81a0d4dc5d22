"""People's own exports from other programs: recognised, and read for what the person wrote themselves.

In: a file, a folder or a zip as it was downloaded. Out: interactions, and for every other record a named reason why it
gave none. Nothing is unpacked to disk; keeps nothing.
"""
