"""Text to unit vectors: `tokenizers` and ONNX Runtime, one text at a time.

One at a time everywhere, in the export as on the device: dynamic int8 quantisation scales by the batch, so a text would
get another vector in other company (cosine down to 0.981 was seen), and padding costs more than it saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError
from copersona.runtime.common.memory import return_freed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 256


class Encoder:
    """A sentence encoder with pooling in its graph (output `sentence_embedding`), shipped as ONNX.

    Raises:
        ModelError: a file is missing or cannot be loaded, or the graph has other inputs and outputs than expected.
    """

    def __init__(self, model: Path, tokenizer: Path, *, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep what the longest text took, and saves no time
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # It would take bytes in its own format too, which `check_onnx` does not read.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        self._tokenizer = read_tokenizer(tokenizer)
        with _one_line(model, "the encoder cannot be loaded"):
            # From bytes, not from the path: a graph in memory cannot name files beside it.
            self._session = onnxruntime.InferenceSession(
                model.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            self._session._model_bytes = None  # the class keeps them, only to be able to start anew
        return_freed()  # parsing takes as much again as the weights
        self._path = model
        self._inputs = [node.name for node in self._session.get_inputs()]
        outputs = {node.name: node.shape for node in self._session.get_outputs()}
        unknown = set(self._inputs) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or "sentence_embedding" not in outputs:
            raise ModelError(
                f"{model}: expected an output sentence_embedding, found {sorted(outputs)}, inputs {self._inputs}"
            )
        self.width = int(outputs["sentence_embedding"][-1])

    def encode(self, text: str) -> F32:
        """Unit vector of one text, which is cut at MAX_TOKENS tokens. (E,) float32.

        Raises:
            ModelError: the libraries fail at this text, or the vector is not finite.
        """
        with _one_line(self._path, "the encoder fails at a text"):
            vector = self._run(text)
        with np.errstate(over="ignore"):
            length = float(np.linalg.norm(vector))
        if vector.shape != (self.width,) or not np.isfinite(length):
            raise ModelError(f"{self._path}: the encoder makes a vector that is none of {self.width} finite numbers")
        return vector / max(length, 1e-12)

    def _run(self, text: str) -> F32:
        encoding = self._tokenizer.encode(text)
        rows = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        feed = {name: np.array([rows[name]], dtype=np.int64) for name in self._inputs}
        vector: F32 = self._session.run(["sentence_embedding"], feed)[0][0].astype(np.float32)
        return vector

    def tokens(self, text: str) -> tuple[int, bool]:
        """How many tokens of a text are read, and whether there are more, which are cut off. Raises ModelError."""
        with _one_line(self._path, "the encoder fails at a text"):
            encoding = self._tokenizer.encode(text)
        return len(encoding.ids), bool(encoding.overflowing)

    def encode_all(self, texts: Sequence[str], *, workers: int = 1) -> F32:
        """Each text by itself, `workers` at once. n texts -> (n, E) float32, rows as `encode` gives them."""
        from concurrent.futures import ThreadPoolExecutor

        if not texts:
            return np.zeros((0, self.width), dtype=np.float32)
        with ThreadPoolExecutor(workers) as pool:
            return np.stack(list(pool.map(self.encode, texts)))


def read_tokenizer(path: Path) -> Tokenizer:
    """The encoder's tokenizer, which cuts texts at MAX_TOKENS tokens. Raises ModelError."""
    from tokenizers import Tokenizer

    with _one_line(path, "the encoder's tokenizer cannot be loaded"):
        found = Tokenizer.from_file(str(path))
        found.no_padding()
        found.enable_truncation(MAX_TOKENS)
    return found


@contextmanager
def _one_line(path: Path, what: str) -> Iterator[None]:
    """What `tokenizers` and onnxruntime raise, classes of their own, is a ModelError of one line; Ctrl-C is not theirs.

    A panic in Rust is no Exception, and its class cannot be imported.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ModelError(f"{path}: {what} ({why})") from error
