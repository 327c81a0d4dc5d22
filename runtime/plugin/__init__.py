"""Personas in other programs of this machine that load plugins: today `llm`, by its entry point."""
