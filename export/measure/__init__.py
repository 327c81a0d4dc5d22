"""Figures on what was held out, and what must agree between torch and the runtime."""
