"""CoPersona: the bundle as it ships, both branches on."""

from __future__ import annotations

from copersona.export.evaluation.methods.method import Method, own

COPERSONA = Method("CoPersona", own)
