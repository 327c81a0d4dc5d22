"""What is opened by `with` and closed at its end."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """A thing with a `close` that may be called more than once; `with` calls it."""

    def close(self) -> None:
        """Give back what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
