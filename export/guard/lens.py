"""What a layer would say if the model ended there: its output through the final norm and the unembedding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from copersona.runtime.assemble.merge import merged
from copersona.runtime.common.arrays import F32, F64
from copersona.runtime.common.errors import ExportError


class Lens:
    """The end of a model: weight of its RMS norm, (H,), and unembedding, (V, H) float32."""

    def __init__(self, norm: F32, unembedding: F32, epsilon: float) -> None:
        self._norm, self._unembedding, self._epsilon = norm, unembedding, epsilon

    @classmethod
    def of(cls, path: Path) -> Lens:
        """The lens of a GGUF. Raises ExportError where its last norm is none of an RMS."""
        import gguf

        reader = gguf.GGUFReader(path)
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        architecture = str(reader.fields["general.architecture"].contents())
        epsilon = reader.fields.get(f"{architecture}.attention.layer_norm_rms_epsilon")
        if epsilon is None or "output_norm.weight" not in tensors or "output_norm.bias" in tensors:
            raise ExportError(f"{path}: {architecture} does not end in an RMS norm; layers cannot be read through it")
        words = tensors.get("output.weight", tensors["token_embd.weight"])
        return cls(merged(tensors["output_norm.weight"], None), merged(words, None), float(epsilon.contents()))

    def logs(self, states: F32, targets: list[int]) -> F64:
        """Natural-log probability of each target by the state before it: states (T, H) -> (T,)."""
        scale = np.sqrt(np.square(states, dtype=np.float64).mean(axis=1, keepdims=True) + self._epsilon)
        logits = (states / scale * self._norm).astype(np.float32) @ self._unembedding.T
        return np.asarray(log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(targets)), targets])
