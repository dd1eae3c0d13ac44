"""An evaluation as tables and as lines of text, for a terminal and for the page."""

from __future__ import annotations

import math
from typing import Final

from vgg16_parity.evaluate.published import comparison_note
from vgg16_parity.evaluate.records import Answer, Dispute, Evaluation, RuntimeAccuracy, Share
from vgg16_spec.errors import counted

COLUMNS: Final = (
    "runtime", "status", "top-1", "95 %", "top-5", "95 %", "loss", "images", "images/s", "GB",
)  # fmt: skip
TEXT_COLUMNS: Final = 2
PAIR_COLUMNS: Final = (
    "first", "second", "answers differ", "only first right", "only second right", "p",
    "largest difference",
)  # fmt: skip
PUBLISHED_COLUMNS: Final = ("source", "images prepared", "top-1", "top-5")
# The file that has what a table or a page leaves out.
JSON_NAME: Final = "evaluation.json"
# As many disputed images are lines of a terminal.
_SHOWN: Final = 10


def holds(evaluation: Evaluation) -> bool:
    """Whether a runtime was measured, none failed, and rounding explains what was judged."""
    statuses = {runtime.status for runtime in evaluation.runtimes}
    measured = "measured" in statuses and "failed" not in statuses
    return measured and not evaluation.mistakes and not wrong_logits(evaluation)


def wrong_logits(evaluation: Evaluation) -> list[RuntimeAccuracy]:
    """The runtimes whose logits rounding does not explain."""
    return [each for each in evaluation.runtimes if each.logits and not each.logits.passed]


def summary(evaluation: Evaluation) -> str:
    """The outcome in one line."""
    done = measured(evaluation)
    images = counted_images(evaluation.images)
    if not done:
        return "Nothing was measured: no runtime could run."
    accuracies = _accuracies(done)
    failed = [each.name for each in evaluation.runtimes if each.status == "failed"]
    lost = f" {', '.join(failed)} failed." if failed else ""
    if wrong_names := ", ".join(each.name for each in wrong_logits(evaluation)):
        lost += f" Rounding does not explain the logits of {wrong_names}."
    if len(done) == 1:
        return f"{done[0].name} on {images}: {accuracies or 'they have no labels'}.{lost}"
    subject = f"{len(done)} runtimes"
    if not evaluation.disputes:
        agree = f"{subject} give the same answer to each of {images}"
        return f"{agree}{f': {accuracies}' if accuracies else ''}.{lost}"
    causes = {answer.cause for each in evaluation.disputes for answer in each.answers}
    differ = f"{subject} disagree on {len(evaluation.disputes):,} of {images}"
    if wrong := evaluation.mistakes:
        names = ", ".join(_wrong_runtimes(evaluation))
        why = f"; rounding does not explain {counted(wrong, 'answer')} of {names}"
    elif "not judged" in causes:
        why = ", for reasons that were not judged"
    elif "quantised" in causes:
        why = ", by rounding or by quantised weights"
    else:
        why = ", always within rounding"
    return f"{differ}{why}{f'; {accuracies}' if accuracies else ''}.{lost}"


def measured(evaluation: Evaluation) -> list[RuntimeAccuracy]:
    """The runtimes that have figures."""
    return [runtime for runtime in evaluation.runtimes if runtime.status == "measured"]


def table(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """A row for each runtime, in the order of ``COLUMNS``; empty cells where nothing is known."""
    return [_cells(runtime) for runtime in evaluation.runtimes]


def differing_pairs(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The rows of `pair_table` in which an answer differs."""
    rows = zip(evaluation.pairs, pair_table(evaluation), strict=True)
    return [row for pair, row in rows if pair.differing]


def pair_table(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """A row for each two runtimes, in the order of ``PAIR_COLUMNS``."""
    return [
        (
            pair.first,
            pair.second,
            f"{pair.differing:,}",
            f"{pair.only_first:,}" if evaluation.labelled else "",
            f"{pair.only_second:,}" if evaluation.labelled else "",
            p_value(pair.p) if evaluation.labelled else "",
            _scientific(pair.largest_difference),
        )
        for pair in evaluation.pairs
    ]


def published_table(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """What others publish, then what was measured, in the order of ``PUBLISHED_COLUMNS``."""
    ours = f"recipe {evaluation.recipe}; {evaluation.view}"
    rows: list[tuple[str, ...]] = [
        (each.source, each.preparation, f"{each.top1:g} %", f"{each.top5:g} %")
        for each in evaluation.published
    ]
    rows += [
        (f"{each.name}, here", ours, percent(each.top1), percent(each.top5))
        for each in measured(evaluation)
    ]
    return rows if evaluation.published else []


def remarks(evaluation: Evaluation) -> list[str]:
    """What is worth knowing beside the tables, one line each."""
    lines = [
        f"{each.name} {each.status}: {each.reason}" for each in evaluation.runtimes if each.reason
    ]
    for each in measured(evaluation):
        if count := len(each.not_finite):
            lines.append(
                f"{each.name}: {counted_images(count)} with logits that are not finite, which "
                f"count as wrong and have no part in the loss: {_few(each.not_finite)}"
            )
    if evaluation.images and evaluation.labelled < evaluation.images:
        without = evaluation.images - evaluation.labelled
        lines.append(f"{counted_images(without)} without a label: compared, not counted as right")
    for each in wrong_logits(evaluation):
        assert each.logits is not None
        of, r, z = counted_images(each.logits.images), each.logits.ratio, each.logits.deviations
        lines.append(
            f"{each.name}: rounding does not explain its logits of {of} that the arbiter computed "
            f"(R {r:.3g}, Z {z:.3g}): vgg16 parity finds the layer"
        )
    for skipped, why in (
        (evaluation.unreadable, "left out as unreadable"),
        (evaluation.duplicates, "left out as copies of others"),
    ):
        if skipped:
            names = _few(tuple(f"{each.name} ({each.reason})" for each in skipped))
            lines.append(f"{counted_images(len(skipped))} {why}: {names}")
    return lines + [note for note in [comparison_note(evaluation)] if note]


def disputes(evaluation: Evaluation) -> list[str]:
    """The first disputed images, a line each, and where the others are."""
    lines = [f"{each.name}: {_said(evaluation, each)}" for each in evaluation.disputes[:_SHOWN]]
    if more := len(evaluation.disputes) - len(lines):
        lines.append(f"and {more:,} more, which {JSON_NAME} has")
    return lines


def cause(answer: Answer, arbiter: tuple[int, ...]) -> str:
    """What the arbiter says of an answer to a disputed image, in words."""
    if answer.cause == "inside":
        own = answer.top5[:1] == arbiter[:1]
        return "the arbiter's answer" if own else "within rounding"
    if answer.cause == "mistake":
        what = "more than rounding explains" if answer.top5 else "logits that are not finite"
        return f"{what}; first wrong layer: {answer.wrong_layer or 'none found'}"
    if answer.cause == "quantised":
        return "quantised weights, which the error model does not cover"
    return "not judged"


def class_name(evaluation: Evaluation, index: int | None) -> str:
    """The name of a class; words where there is none."""
    return "no label" if index is None else evaluation.class_names[index]


def answer_name(evaluation: Evaluation, answer: Answer) -> str:
    """The name of the class that a runtime answers."""
    return class_name(evaluation, answer.top5[0]) if answer.top5 else "no answer"


def counted_images(count: int) -> str:
    """``1 image``, ``50,000 images``."""
    return f"{count:,} {'image' if count == 1 else 'images'}"


def percent(share: Share | None) -> str:
    """``71.59 %``; empty for none. As many decimals as the images can tell apart."""
    return "" if share is None else f"{100 * share.value:.{_decimals(share.of)}f} %"


def interval(share: Share | None) -> str:
    """``71.2 to 72.0``, in percent."""
    if share is None:
        return ""
    return f"{100 * share.low:.{_decimals(share.of)}f}–{100 * share.high:.{_decimals(share.of)}f}"


def p_value(p: float) -> str:
    """``0.31``, ``2e-07``."""
    return f"{p:.2f}" if p >= 0.01 else f"{p:.0e}" if p else "0"


def deviations(value: float) -> str:
    """A margin in predicted standard deviations: ``0.77 σ``."""
    if math.isinf(value) or math.isnan(value):
        return "∞ σ"
    return f"{value:.1e} σ" if value >= 1e6 else f"{value:,.{0 if value >= 10 else 2}f} σ"


def _decimals(images: int) -> int:
    return 1 if images < 1000 else 2


def _accuracies(done: list[RuntimeAccuracy]) -> str:
    """``top-1 71.59 %, top-5 90.38 %``, or from where to where."""
    parts = []
    for name, shares in (("top-1", [e.top1 for e in done]), ("top-5", [e.top5 for e in done])):
        known = sorted((share for share in shares if share), key=lambda share: share.value)
        if known:
            ends = dict.fromkeys((percent(known[0]), percent(known[-1])))
            parts.append(f"{name} {' to '.join(ends)}")
    return ", ".join(parts)


def _wrong_runtimes(evaluation: Evaluation) -> list[str]:
    wrong = {a.runtime for d in evaluation.disputes for a in d.answers if a.cause == "mistake"}
    return [runtime.name for runtime in evaluation.runtimes if runtime.name in wrong]


def _cells(runtime: RuntimeAccuracy) -> tuple[str, ...]:
    known = runtime.status == "measured"
    return (
        runtime.name,
        runtime.status,
        percent(runtime.top1),
        interval(runtime.top1),
        percent(runtime.top5),
        interval(runtime.top5),
        "" if runtime.loss is None else f"{runtime.loss:.4f}",
        f"{runtime.images:,}" if known else "",
        f"{runtime.images_per_second:.1f}" if runtime.images_per_second else "",
        f"{runtime.peak_bytes / 1e9:.1f}" if runtime.peak_bytes else "",
    )


def _said(evaluation: Evaluation, dispute: Dispute) -> str:
    """What each runtime says of an image, those of one answer together."""
    parts = [] if dispute.label is None else [f"label {class_name(evaluation, dispute.label)}"]
    parts += [
        f"{', '.join(names)}: {answer_name(evaluation, answer)} ({_why(answer, dispute)})"
        for answer, names in grouped(dispute)
    ]
    return "; ".join(parts)


def _why(answer: Answer, dispute: Dispute) -> str:
    words = cause(answer, dispute.arbiter)
    return f"{words}, margin {deviations(answer.deviations)}" if answer.margin else words


def grouped(dispute: Dispute) -> list[tuple[Answer, list[str]]]:
    """The different answers to an image, and the runtimes that give each."""
    found: dict[tuple[object, ...], tuple[Answer, list[str]]] = {}
    for answer in dispute.answers:
        key = (answer.top5[:1], answer.cause, answer.wrong_layer, deviations(answer.deviations))
        found.setdefault(key, (answer, []))[1].append(answer.runtime)
    return list(found.values())


def _few(names: tuple[str, ...], most: int = 3) -> str:
    shown = "; ".join(names[:most])
    return f"{shown}; and {len(names) - most:,} more" if len(names) > most else shown


def _scientific(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.1e}" if value else "0"
