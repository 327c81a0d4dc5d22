"""Generations that are looked at at the last token of their prompt, and steered from there on, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError, ModelRefused
from copersona.runtime.engine.layers import Layers

if TYPE_CHECKING:
    from copersona.runtime.engine.sequences import Generation, Start
    from copersona.runtime.engine.wanted import Act, Watch


class Steer(NamedTuple):
    """What a layer puts out for a generation moves by `shift`, (H,) float32."""

    layer: int
    shift: F32


def settle(
    layers: Layers | None, watch: Watch, start: Start, decode: Callable[[Start], None]
) -> tuple[Start, Steer | None]:
    """Have what a watched generation starts from decoded and decided on: what it starts from then, and how it is
    steered. `decode` leaves the logits of the last token.

    Raises:
        ModelError: there are no layers, or no other start where one is needed. What the decision raises,
            a ModelRefused of anything that is no ModelError.
    """
    if layers is None:
        raise ModelError("this engine reads no layers, so that nothing can be decided on; open it with reads=True")
    found: list[tuple[Act, F32]] = []

    def decided(state: F32) -> F32 | None:
        try:
            act = watch.decide(state)
        except ModelError:
            raise
        except Exception as error:  # its text may be a person's
            raise ModelRefused(f"what decides on the answer failed ({type(error).__name__})") from error
        found.append((act, state))
        return act.shift

    _at_last(layers, watch.layer, decided, lambda: decode(start))
    (act, state), other = found[0], start.other
    if act.kind in ("leave", "shift"):
        return start, None if act.shift is None else Steer(watch.layer, act.shift)
    if other is None:
        raise ModelError(f"a generation was decided to {act.kind!r} without another prompt")
    if act.kind == "instead":
        decode(other)
        return other, None
    others: list[F32] = []
    _at_last(layers, watch.layer, others.append, lambda: decode(other))
    shift = others[0] - state
    _at_last(layers, watch.layer, lambda _: shift, lambda: decode(start))
    return start, Steer(watch.layer, shift)


def _at_last(layers: Layers, layer: int, seen: Callable[[F32], F32 | None], decode: Callable[[], None]) -> None:
    """Decode a prompt; what its last token gives at a layer is shown, and moved by what comes back."""

    def meet(layer: int, first: int, rows: F32) -> F32 | None:
        shift = seen(rows[-1].copy())
        if shift is None:
            return None
        rows[-1] += shift
        return rows

    with layers.meeting([layer], meet):
        decode()


@contextmanager
def steered(layers: Layers | None, generations: Sequence[Generation]) -> Iterator[None]:
    """One token of each of these is decoded within, in this order, and those that are steered are moved."""
    steers = [generation.steer for generation in generations]
    wanted = {steer.layer for steer in steers if steer is not None}
    if layers is None or not wanted:
        yield
        return

    def meet(layer: int, first: int, rows: F32) -> F32:
        for row, steer in zip(rows, steers[first : first + len(rows)], strict=True):
            if steer is not None and steer.layer == layer:
                row += steer.shift
        return rows

    with layers.meeting(wanted, meet):
        yield
