"""What a model holds after a person's beginning, as the file that llama.cpp's own server restores into a slot.

The soft prompt has no tokens, and the file must name one for each position: the token that ends a turn stands for each
row. A request that begins with these tokens goes on behind what was restored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from copersona.runtime.common.arrays import F32
from copersona.runtime.engine.engine import Engine
from copersona.runtime.engine.sequences import Start


def write_slot(engine: Engine, soft: F32, tokens: Sequence[int], stand_in: int, path: Path) -> None:
    """Write the state after the soft prompt (L, H) and the tokens to a new file for its owner; `stand_in` is named for
    each row.

    Raises:
        ModelError: llama.cpp cannot decode it, or cannot write.
        OSError: the file is there already.
    """
    path.touch(0o600, exist_ok=False)
    engine.sequences.save(Start(soft, np.array(tokens, np.int32)), stand_in, path)
