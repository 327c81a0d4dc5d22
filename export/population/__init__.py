"""Everyone at once: profiles of all people and the multiplex graph between them."""
