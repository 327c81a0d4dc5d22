"""What every other package may use: errors, array types, whole files, hashes, places on disk, processes apart,
progress, Unicode.

Knows nothing of people, models or bundles.
"""
