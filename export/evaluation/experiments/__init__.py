"""Which methods meet which cases, and the values that come of it."""
