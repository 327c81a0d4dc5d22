"""`copersona bundle`: check one, see what is in it, assemble a thin one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from copersona.runtime.cli.commands import AS_JSON, BUNDLE, foreseen
from copersona.runtime.cli.context_options import context_options
from copersona.runtime.cli.signing import bundle_key, bundle_sign
from copersona.runtime.cli.streams import say, say_json
from copersona.runtime.common.terminal import in_line

if TYPE_CHECKING:
    from copersona.runtime.assemble.thin import Thin
    from copersona.runtime.bundle.guard import Guard
    from copersona.runtime.bundle.manifest import Manifest
    from copersona.runtime.profile.facets import FacetSchema
    from copersona.runtime.prompt.settings import ContextSettings


@click.group()
def bundle() -> None:
    """Check a bundle, see what is in it, make a thin one whole, or sign one."""


bundle.add_command(bundle_key)
bundle.add_command(bundle_sign)


@bundle.command("verify")
@BUNDLE
@click.option("--signed-by", metavar="KEY",
              help="The public key that must have signed it: its text, or a file that minisign reads.")  # fmt: skip
@click.option("--new-key", is_flag=True, help="With --signed-by: keep this key in place of the one known before.")
@AS_JSON
@foreseen
def bundle_verify(folder: Path, signed_by: str | None, new_key: bool, as_json: bool) -> None:
    """Read every file of BUNDLE and check it against the manifest and the other parts.

    Ends with 0 only when nothing is missing or changed, it answers, and a signature that is there is right. It is
    loaded in a process of its own, within limits of time and memory, so that whatever its files do ends as one line
    here. A thin bundle's parts are checked when it is assembled.

    Whoever signs a bundle does it under a name. The first key seen under a name is kept on this device, and a bundle
    that is signed by another one is refused.
    """
    from dataclasses import asdict

    from copersona.runtime.assemble.thin import read_thin
    from copersona.runtime.bundle.guard import read_guard
    from copersona.runtime.bundle.signature import signer
    from copersona.runtime.bundle.verify import open_manifest, verify
    from copersona.runtime.session.session import open_bundle

    if new_key and signed_by is None:
        raise click.UsageError("--new-key goes with --signed-by KEY.")
    signed = signer(folder, open_manifest(folder), signed_by, renew=new_key)
    if open_manifest(folder).thin:
        manifest = verify(folder, full=True)
        base = read_thin(manifest).base
        read_guard(folder, manifest)
    else:
        base = None
        with open_bundle(folder, full=True) as session:
            manifest = session.manifest
    files = f"{len(manifest.files)} files, bundle {manifest.bundle_id[:12]}, {signed or 'unsigned'}"
    if as_json:
        body = {"bundle": manifest.bundle_id, "files": len(manifest.files), "whole": base is None}
        body["signed"] = None if signed is None else asdict(signed)
        say_json(body | ({} if base is None else {"base": base.to_json()}))
    elif base is not None:
        say(f"{in_line(folder)}: thin, {files}; its base is {in_line(base)}")
    else:
        say(f"{in_line(folder)}: whole, {files}")


@bundle.command("show")
@BUNDLE
@AS_JSON
@foreseen
def bundle_show(folder: Path, as_json: bool) -> None:
    """What BUNDLE holds: facets, peers, sizes, and what was checked when it was packed."""
    from dataclasses import asdict

    from copersona.runtime.assemble.thin import read_thin
    from copersona.runtime.bundle.guard import read_guard
    from copersona.runtime.bundle.opened import Bundle
    from copersona.runtime.bundle.said import check_settings
    from copersona.runtime.bundle.signature import signer
    from copersona.runtime.bundle.verify import verify
    from copersona.runtime.profile.facets import read_schema
    from copersona.runtime.prompt.settings import read_context
    from copersona.runtime.session.load_receipt import LoadReceipt

    manifest = verify(folder)
    check_settings(manifest)
    thin = read_thin(manifest) if manifest.thin else None
    if thin is None:
        Bundle(folder).close()  # the parts fit together
    guard = read_guard(folder, manifest)
    loaded, signed = thin is None and LoadReceipt(manifest).there(), signer(folder, manifest)
    schema, context = read_schema(manifest.path(folder, "facets")), read_context(manifest.settings.get("context", {}))
    if as_json:
        facets = [asdict(facet) for facet in schema.facets]
        said = {"population_id": manifest.population_id, "trained": manifest.trained, "loaded_here": loaded,
                "signed": None if signed is None else asdict(signed)}  # fmt: skip
        body = {**asdict(manifest), **said, "facets": facets}
        say_json(body)
        return
    for line in _shown(manifest, schema, context, thin, str(signed or _unsigned(manifest)), guard):
        say(line)
    if thin is None:
        how = "went well in a process of its own" if loaded else "was not done; it will be in a process of its own"
        say(f"first load by these libraries on this machine: {how}")


def _unsigned(manifest: Manifest) -> str:
    """What `bundle show` says of a bundle without a signature; one that was assembled here cannot have its maker's."""
    thin = manifest.settings.get("assembled_from")
    return f"unsigned; assembled from the thin bundle {in_line(thin)[:12]}, which may be signed" if thin else "unsigned"


def _shown(
    manifest: Manifest, schema: FacetSchema, context: ContextSettings, thin: Thin | None, signed: str,
    guard: Guard | None,
) -> Iterator[str]:  # fmt: skip
    """The lines of `bundle show`."""
    from dataclasses import asdict

    from copersona.runtime.bundle.said import languages

    shapes, architecture = manifest.shapes, manifest.settings.get("architecture")
    ids = f"bundle {manifest.bundle_id[:12]}, population {manifest.population_id[:12]}"
    yield f"{ids}, made {manifest.created}"
    yield signed
    if thin is not None:
        yield f"thin, to be assembled with {thin.base}"
    yield f"model {in_line(manifest.settings.get('base'))}, encoder {in_line(manifest.settings.get('encoder'))}"
    served = (f"{part} {', '.join(codes) or 'any'}" for part, codes in asdict(languages(manifest)).items())
    yield f"languages: {in_line('; '.join(served))}"
    soft = f"{shapes.soft_tokens} soft tokens of {shapes.hidden}" if manifest.trained else "no soft prompt"
    yield f"{shapes.peers:,} peers, {shapes.facets} facets, {soft}"
    if not manifest.trained:
        yield "nothing was trained: the model is as published, the persona stands in the prompt alone"
        yield (
            f"not held against a table: the tensors and settings of the model ({in_line(architecture)}), of which the "
            "form alone is checked; whether they can be used, its first load shows, in a process of its own"
        )
    if guard is not None:
        yield str(guard)
    yield (
        f"prompts: {context.recent} latest, {context.matched} by {context.matcher}, {context.show} shown, "
        f"facets {context.place}, up to {context.budget} tokens"
    )
    for facet in schema.facets:
        yield f"  {in_line(facet.name)}: {in_line(facet.definition)} ({in_line(' | '.join(facet.values))})"
    for row in manifest.files:
        yield f"  {row.path:<28}{row.bytes / 1e6:>10.2f} MB  {row.role}"
    for name, value in manifest.settings.get("parity", {}).items():
        yield f"  checked: {in_line(name)} = {value:g}"


@bundle.command("from")
@click.argument("model", metavar="MODEL.gguf", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--like", required=True, type=click.Path(path_type=Path),
              help="The bundle whose facets, encoder, graph and peers are taken; it may be a thin one.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new folder.")
@click.option("--context-length", type=click.IntRange(64), default=2048, show_default=True,
              help="Tokens of context, at most what the model was trained on; more need more memory.")  # fmt: skip
@context_options(default="as in --like")
@AS_JSON
@foreseen
def bundle_from(
    model: Path, like: Path, out: Path, context_length: int, context: dict[str, Any], as_json: bool
) -> None:
    """Make a bundle of a model that you have, without training.

    MODEL.gguf is any model for chats that llama.cpp opens. Answers come from it as it is: what is known of a person
    stands in the prompt (own texts, facets, what similar people lend), there is no soft prompt. Takes no torch and no
    room for a second copy of the model where the disk can link files.

    \b
    copersona bundle from qwen3-4b-q4_k_m.gguf --like assets/demo/bundle --out mine
    copersona people import mine my-texts.jsonl
    copersona ask mine --person me "Write to the landlord about the heating."
    """
    from copersona.runtime.assemble.training_free import training_free

    made = training_free(model, like, out, context=context_length, changes=context)
    if as_json:
        say_json({"bundle": made.bundle_id, "population_id": made.population_id})
    else:
        say(f"{in_line(out)}: bundle {made.bundle_id[:12]} of {in_line(made.settings['base'])}, nothing trained")


@bundle.command("assemble")
@BUNDLE
@click.option("--base", type=click.Path(dir_okay=False, path_type=Path),
              help="The base's GGUF; otherwise the cache and installed packages are looked through.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="The new folder; otherwise one in the cache.")
@AS_JSON
@foreseen
def bundle_assemble(folder: Path, base: Path | None, out: Path | None, as_json: bool) -> None:
    """Make the whole bundle of a thin one, which names its base model instead of holding it.

    The base is checked by its hash, the LoRA merged, the model quantised and asked a probe whose answer is known. The
    folder is there complete or not at all. Prints where it is.
    """
    from copersona.runtime.assemble.assemble import assemble

    target = assemble(folder, base, out)
    if as_json:
        say_json({"bundle": str(target)})
    else:
        say(str(target))
