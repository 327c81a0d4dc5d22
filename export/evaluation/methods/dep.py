"""DEP (arXiv 2507.20849): vectors of the person's reviews and of their differences from others', as embeddings before
the text.

The language model is the frozen base; what is trained is in the variant `dep` of the run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.cases import Case
from copersona.export.evaluation.methods.method import Method, own, silent
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session

if TYPE_CHECKING:
    from copersona.export.evaluation.variants.dep_inputs import DepCorpus
    from copersona.export.evaluation.variants.dep_model import DepPersonalizer

NOTE = "adapted: vectors stand before the prompt, this run's encoder, as many steps as CoPersona"


def _parts(bench: Bench) -> tuple[DepCorpus, DepPersonalizer]:
    from safetensors.torch import load_file

    from copersona.export.evaluation.variants.dep_inputs import DepCorpus
    from copersona.export.evaluation.variants.dep_model import DepPersonalizer, dep_shape
    from copersona.export.evaluation.variants.variant_bundles import folder_of

    weights = load_file(folder_of(bench.run, "dep") / "train" / "best" / "personalizer.safetensors")
    shape = dep_shape(weights["encoder.weight"].shape[1], weights["blank"].shape[1])
    model = DepPersonalizer(shape, np.zeros((0, 0), np.float32), 1.0)
    model.load_state_dict(weights)
    return DepCorpus(bench.run), model


def know(bench: Bench, session: Session, case: Case) -> Known:
    corpus, model = bench.once(lambda: _parts(bench), "dep")
    person = own(bench, session, case)
    soft = model.rows(corpus.inputs(case.history, case.pseudonym))
    return Known(case.history, silent(replace(person.persona, inputs=None)), soft)


DEP = Method("DEP", know, "dep", note=NOTE)
