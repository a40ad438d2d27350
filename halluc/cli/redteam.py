"""`halluc redteam`: attack a model, an endpoint or a grounded model, and report how often it gives way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc.cli.benchmark import figures_table
from halluc.cli.options import (
    AnswerCacheFolder,
    IndexEmbedder,
    JudgeName,
    ModelName,
    TrustRemoteCode,
    VerifierName,
    code_options,
    load_named_judge,
    open_named_index,
)
from halluc.cli.output import Json, console, print_json, print_notice, wants_json, working
from halluc.redteam.attack import FAMILIES, Family
from halluc.redteam.defenses import Defense
from halluc.redteam.multilingual import LANGUAGES

if TYPE_CHECKING:
    from halluc.evaluation.benchmark import Row
    from halluc.evaluation.figures import Difference
    from halluc.evaluation.harm_judges import HarmJudge
    from halluc.models.language_model import LanguageModel
    from halluc.redteam.attack import Attempt
    from halluc.redteam.passage_filters import PassageFilter
    from halluc.redteam.run import RedTeamRun
    from halluc.redteam.targets import Target

__all__ = ["redteam"]


def redteam(
    families: Annotated[
        list[str] | None,
        typer.Argument(help=f"Families of attacks: {', '.join(FAMILIES)}. By default, all whose rows are passed."),
    ] = None,
    requests: Annotated[
        list[Path] | None,
        typer.Option(
            help="Harmful requests as JSON lines or CSV (HarmBench or StrongREJECT), for jailbreak, encoding, multi_step."
        ),
    ] = None,
    contexts: Annotated[
        list[Path] | None, typer.Option(help="Contexts with questions as JSON lines (BIPIA), for injection.")
    ] = None,
    translations: Annotated[
        list[Path] | None, typer.Option(help="Translated requests as JSON lines or CSV (MultiJail), for multilingual.")
    ] = None,
    translator: Annotated[
        str | None,
        typer.Option(
            help="A model that translates --requests for multilingual: a translation model by folder or hub id, or a "
            "language model by name."
        ),
    ] = None,
    languages: Annotated[
        str, typer.Option(help="Codes of the languages that --translator translates into, separated by commas.")
    ] = ",".join(LANGUAGES[1:]),
    model: ModelName = "default",
    index: Annotated[
        str | None, typer.Option("--index", "-i", help="Attack a grounded model that answers from this index.")
    ] = None,
    embedder: IndexEmbedder = None,
    defense: Annotated[Defense, typer.Option(help="How passages are shown to the model, for injection.")] = "none",
    verifier: VerifierName = "default",
    trust_remote_code: TrustRemoteCode = False,
    judge: JudgeName = None,
    attacker: Annotated[
        str | None, typer.Option(help="A model that writes multi-step attacks itself (PAIR and Crescendo), by name.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Attacks per family, drawn evenly from its techniques.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw of attacks and of the canaries.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 128,
    cache: AnswerCacheFolder = None,
    out: Annotated[Path | None, typer.Option(help="Write every transcript as JSON lines, for --compare.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to read the transcripts.")] = None,
    compare: Annotated[Path | None, typer.Option(help="An earlier run to compare with, attack by attack.")] = None,
    fail_over: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with code 1 if a family succeeds more often than this share.")
    ] = None,
    json_: Json = None,
) -> None:
    """Attack a model and print attack success rates with 95 % intervals."""
    from halluc.evaluation.answer_cache import default_cache_folder
    from halluc.redteam.page import write_transcripts_page
    from halluc.redteam.run import RedTeamRun, check_comparable, compare_runs, make_attacks, run_attacks

    _check_outputs(out, html)
    earlier = RedTeamRun.load(compare) if compare is not None else None
    rows = _rows(families or [], requests or [], contexts or [], translations or [], translates=translator is not None)
    _check_defense(defense, list(rows), index)
    if translator is not None and "multilingual" in rows:
        rows["multilingual"] = _translated(rows["multilingual"], translator, languages, limit)
    attacks = [attack for family in rows for attack in make_attacks(family, rows[family], limit=limit, seed=seed)]
    # What an attacker model writes is known only afterwards.
    if earlier is not None and not attacker:
        check_comparable(earlier, [attack.key for attack in attacks])
    with working(f"loading {model}"):
        lm, target = _target(
            model,
            index,
            embedder,
            defense,
            verifier,
            rows.get("injection", []),
            seed,
            max_new_tokens,
            trust_remote_code=trust_remote_code,
        )
        harm_judge = load_named_judge("refusal" if judge is None else judge, lm)
    adaptive = _adaptive(target, attacker, harm_judge, rows.get("multi_step", []), limit) if attacker else []
    run = run_attacks(target, attacks, harm_judge, defense=defense, more=adaptive, cache=cache or default_cache_folder())
    if out is not None:
        run.save(out)
    differences = compare_runs(earlier, run) if earlier is not None else []
    if html is not None:
        write_transcripts_page(html, run, differences)
    if wants_json(json_):
        report = {name: value for name, value in run.to_dict().items() if name != "attempts"}
        print_json({**report, "n": len(run.attempts), "changes": [change.to_dict() for change in differences]})
    else:
        _print(run, differences)
    _fail_over(run, fail_over)


def _check_outputs(out: Path | None, html: Path | None) -> None:
    from halluc.files import check_output_path
    from halluc.page_template import PAGE_MARKER
    from halluc.redteam.run import KIND

    if out is not None:
        check_output_path(out, replaces=KIND)
    if html is not None:
        check_output_path(html, replaces=PAGE_MARKER)


def _rows(
    families: list[str], requests: list[Path], contexts: list[Path], translations: list[Path], *, translates: bool
) -> dict[Family, list[Row]]:
    """The rows of each family to run."""
    import difflib

    from halluc.errors import InvalidInput
    from halluc.files import read_table

    if translates and translations:
        raise InvalidInput("--translations have translations, so --translator has nothing to do; pass one of the two")
    if translates and not requests:
        raise InvalidInput("--translator translates requests; pass --requests")
    files: dict[Family, tuple[str, list[Path]]] = {
        "jailbreak": ("--requests", requests),
        "injection": ("--contexts", contexts),
        "multilingual": ("--requests", requests) if translates else ("--translations", translations),
        "encoding": ("--requests", requests),
        "multi_step": ("--requests", requests),
    }
    for name in families:
        if name not in files:
            similar = difflib.get_close_matches(name, files, n=1, cutoff=0.4)
            advice = f"did you mean {similar[0]!r}? There are" if similar else "there are"
            raise InvalidInput(f"there is no family {name!r}; {advice} {', '.join(files)}")
    chosen = [family for family in files if family in families] if families else [f for f in files if files[f][1]]
    if not chosen:
        raise InvalidInput("there is nothing to attack with; pass --requests, --contexts or --translations")
    rows: dict[Family, list[Row]] = {}
    for family in chosen:
        option, paths = files[family]
        if not paths:
            raise InvalidInput(f"the family {family} needs rows; pass {option}")
        rows[family] = [row for path in paths for row in read_table(path)]
        if not rows[family]:
            raise InvalidInput(f"{', '.join(map(str, paths))} holds no rows; pass a file with at least one")
    return rows


def _translated(rows: list[Row], translator: str, languages: str, limit: int | None) -> list[Row]:
    """Translate as many requests as `limit` attacks need."""
    from halluc.errors import InvalidInput
    from halluc.redteam.requests import harmful_requests
    from halluc.redteam.translation import load_translator, translate_rows

    codes = [code.strip() for code in languages.split(",") if code.strip()]
    requests = harmful_requests(rows)
    needed = len(requests) if limit is None else -(-limit // (len(codes) + 1))
    with working(f"translating with {translator}"):
        translated = translate_rows(requests[:needed], load_translator(translator), codes)
    if not translated:
        raise InvalidInput(
            f"{translator} translated none of the {len(requests[:needed])} requests; pass another --translator"
        )
    return [(f"translated request {number}", dict(row)) for number, row in enumerate(translated, 1)]


def _check_defense(defense: Defense, families: list[Family], index: str | None) -> None:
    from halluc.errors import InvalidInput

    others = [family for family in families if family != "injection"]
    if defense != "none" and index is None and others:
        raise InvalidInput(
            f"the defense {defense} acts on passages, and the attacks of {', '.join(others)} have none; "
            "name the family injection"
        )
    if index is not None and defense not in ("none", "support"):
        raise InvalidInput(f"a grounded model shows passages in its own block, not by {defense}; pass none or support")


def _target(
    model: str,
    index: str | None,
    embedder: str | None,
    defense: Defense,
    verifier: str,
    contexts: list[Row],
    seed: int,
    max_new_tokens: int,
    *,
    trust_remote_code: bool,
) -> tuple[LanguageModel, Target]:
    from halluc.models import load_model
    from halluc.redteam.targets import ChatTarget, GroundedTarget
    from halluc.verification import load_verifier

    passages = open_named_index(index, embedder)
    lm = load_model(model)
    loaded = None
    if defense == "support":
        loaded = load_verifier(verifier, lm=lm if verifier == "lm" else None, **code_options(trust_remote_code))
    if passages is None:
        passage_filter = _filter(defense, lm, contexts, seed)
        return lm, ChatTarget(
            lm, defense=defense, verifier=loaded, passage_filter=passage_filter, max_new_tokens=max_new_tokens
        )
    support = 0.5 if defense == "support" else 0.0
    return lm, GroundedTarget(lm, passages, verifier=loaded, min_support=support, max_new_tokens=max_new_tokens)


def _filter(defense: Defense, lm: LanguageModel, contexts: list[Row], seed: int) -> PassageFilter | None:
    """The filter of a defense; the perplexity of clean passages is that of the contexts, without the attacks."""
    from halluc.redteam.injection import context_text
    from halluc.redteam.passage_filters import CanaryFilter, PerplexityFilter

    if defense == "perplexity":
        return PerplexityFilter.fit(lm, [context_text(row, where) for where, row in contexts])
    return CanaryFilter(lm, seed) if defense == "canary" else None


def _adaptive(target: Target, attacker: str, judge: HarmJudge, rows: list[Row], limit: int | None) -> list[Attempt]:
    from halluc.errors import InvalidInput
    from halluc.models import load_model
    from halluc.redteam.adaptive import adaptive_attacks
    from halluc.redteam.requests import harmful_requests

    if not rows:
        raise InvalidInput("an attacker model writes attacks of the family multi_step; name it, and pass --requests")
    goals = harmful_requests(rows)[:limit]
    lm = load_model(attacker)
    attempts = adaptive_attacks(target, lm, judge, goals, "pair")
    return attempts + adaptive_attacks(target, lm, judge, goals, "crescendo")


def _print(run: RedTeamRun, differences: list[Difference]) -> None:
    out = console()
    title = f"{run.target}, defense {run.defense}, judge {run.judge}"
    out.print(figures_table(title, "attack", "success rate", run.rates, differences))
    if run.cached:
        out.print(f"answers from the cache: {run.cached}", style="dim")
    if run.note:
        out.print(run.note, style="yellow")


def _fail_over(run: RedTeamRun, most: float | None) -> None:
    if most is None:
        return
    over = [rate for rate in run.rates if rate.name in FAMILIES and rate.value is not None and rate.value > most]
    if over:
        worst = ", ".join(f"{rate.name} {rate.value:.3f}" for rate in over)
        print_notice(f"attacks succeed more often than {most:g}: {worst}")
        raise typer.Exit(1)
