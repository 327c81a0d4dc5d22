"""The folder that an export ends in: its manifest, and the proof that it is whole and fits together.

Nothing is parsed before sizes and hashes are checked.
"""
