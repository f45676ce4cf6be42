"""The tables of a report: the paper's with its figures beside ours, all figures, runs, sketches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sketchforge.metrics.estimates import Estimate
from sketchforge.metrics.sketches.result import CONTENT, REALISM, STROKES, VARIETY, SketchEvaluation
from sketchforge.report.images.tables import model_figures
from sketchforge.report.sketches.tables import COLUMNS, Column
from sketchforge.report.summary.content import ModelFindings, Report
from sketchforge.report.summary.published import (
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    in_table_1,
    in_table_2,
    in_table_3,
    in_table_4,
    objectives_of,
)
from sketchforge.report.tables import Cell, Heading, Table, TableRow, figure_cell

BESIDE = (
    "Columns of the paper: its Table {0}, 1024 pixels, {1}. For the order of variants, not the size "
    "of figures: "
    "ours are of other data, sizes and lengths of training."
)
Told = Callable[[ModelFindings], str]
Columns = Sequence[tuple[str, float, Callable[[ModelFindings], Mapping[str, Estimate]]]]


def paper_tables(models: Sequence[ModelFindings]) -> list[Table]:
    """Tables 1 to 4; without a model there are none."""
    if not models:
        return []
    autoencoders = [model for model in models if model.run.command == "ae-train"]

    def told(*names: str) -> Told:
        return lambda model: ", ".join(f"{name} {_settings(model)[name]}" for name in names)

    distances = [
        ("↓", 1.0, lambda model: model.figures("frechet")),
        ("↓", 1.0, lambda model: model.figures("kid")),
    ]
    relevance = ("↑", 1.0, lambda model: model.figures("sr_colour", "sr_texture", "sr"))
    matched = ("↓", 100.0, lambda model: model.matched)
    redrawn = ("↓", 1.0, lambda model: model.figures("skt_rec", "skt_rec_relative"))
    style = ("↑", 1.0, lambda model: model.figures("sty_rec"))
    found = [
        _paper_table(
            "Table 1: all methods",
            models,
            [*distances, relevance],
            ("CelebA-HQ FID ↓", "CelebA-HQ SR ↑", "WikiArt FID ↓", "WikiArt SR ↑"),
            TABLE_1,
            lambda model: in_table_1(model.run.command, model.recipe),
            lambda model: (
                "" if model.run.command == "gan-train" else told("objectives", "DMI", "style")(model)
            ),
            (
                BESIDE.format(1, "CelebA-HQ and WikiArt, 40,000 mismatched pairs"),
                "The paper's AE has all objectives; a GAN stands beside its AE + GAN whatever "
                "auto-encoder it refines.",
            ),
        )
    ]
    if not autoencoders:
        return found
    found += [
        _paper_table(
            "Table 2: the auto-encoder's objectives",
            autoencoders,
            [*distances, matched],
            ("FID ↓", "LPIPS × 100 ↓"),
            TABLE_2,
            lambda model: in_table_2(model.recipe),
            told("objectives", "DMI", "style"),
            (
                BESIDE.format(2, "CelebA-HQ"),
                "What a row is follows from the objectives that are on in the run's recipe, whatever "
                "their weights.",
            ),
        ),
        _paper_table(
            "Table 3: dual mask injection",
            autoencoders,
            [matched, redrawn],
            ("LPIPS × 100 ↓", "Skt-Rec ↓"),
            TABLE_3,
            lambda model: in_table_3(model.recipe),
            told("objectives", "style"),
            (
                BESIDE.format(3, "WikiArt"),
                "The paper does not define Skt-Rec; what ours is: docs/measures.md. How style joins "
                "in is another "
                "matter (Table 4), and is told below the name of a run.",
            ),
        ),
        _paper_table(
            "Table 4: how style joins in",
            autoencoders,
            [matched, style],
            ("LPIPS × 100 ↓", "Sty-Rec ↑"),
            TABLE_4,
            lambda model: in_table_4(model.recipe),
            told("objectives", "DMI"),
            (BESIDE.format(4, "WikiArt"), "Sty-Rec asks each model's own style encoder: compare with care."),
        ),
    ]
    return found


def _paper_table(
    title: str,
    models: Sequence[ModelFindings],
    columns: Columns,
    of_paper: Sequence[str],
    published: Mapping[str, tuple[str, ...]],
    place: Callable[[ModelFindings], str | None],
    told: Told,
    notes: tuple[str, ...],
) -> Table:
    """The paper's rows in its order, runs of ours in the place of those they correspond to, others below."""
    titles = [
        (name, factor, arrow, figures)
        for arrow, factor, figures in columns
        for name in dict.fromkeys(name for model in models for name in figures(model))
    ]
    where = _common_ground(models)
    headings = [
        Heading(f"{name}{' × 100' if factor == 100 else ''} {arrow}") for name, factor, arrow, _ in titles
    ]
    headings += [Heading(f"paper: {name}", published=True) for name in of_paper]
    rows = []
    for name in (*published, None):
        of_paper_here = tuple(Cell(value) for value in published[name]) if name else (Cell(),) * len(of_paper)
        here = [model for model in models if place(model) == name]
        for model in here:
            ours = tuple(
                figure_cell(figures(model).get(title), factor) for title, factor, _, figures in titles
            )
            detail = [f"beside {name}" if name else "", told(model), "" if where else model.ground.described]
            rows.append(TableRow(model.name, ours + of_paper_here, "; ".join(filter(None, detail))))
        if name and not here:
            rows.append(TableRow(name, (Cell(),) * len(titles) + of_paper_here, published=True))
    counts = sorted({row.count for model in models for row in model.rows() if row.pairs == "mismatched"})
    several = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}" if counts else "no"
    ours = f"Ours: {several} mismatched pairs a model{where and f', of {where}'}."
    return Table(title, "run", tuple(headings), tuple(rows), (ours, *notes))


def _settings(model: ModelFindings) -> dict[str, str]:
    """What the auto-encoder was trained with, in the words of tables."""
    recipe = model.recipe
    return {
        "objectives": objectives_of(recipe) if recipe else "unknown",
        "DMI": str(recipe.get("dmi", "unknown")),
        "style": str(recipe.get("style", "unknown")),
    }


def _common_ground(models: Sequence[ModelFindings]) -> str:
    """What all of them were measured on; empty where that differs."""
    grounds = {model.ground.described for model in models}
    return grounds.pop() if len(grounds) == 1 else ""


def all_figures(models: Sequence[ModelFindings]) -> list[Table]:
    """Of each model every figure, with what chance has and what it was computed with."""
    found: list[Table] = []
    for model in models:
        more = [] if model.figures("lpips") else [_ranking_row(model)]
        title = f"{model.name}: {model.ground.described}"
        found.append(model_figures(model.evaluation, title, more, explained=not found))
    return found


def _ranking_row(model: ModelFindings) -> TableRow:
    """Of the error that stands in for LPIPS."""
    ranking = model.ranking
    count, preprocessing = f"{ranking.count:,}", "outputs and images at the model's size"
    words = ("lower", "matched", count, "builtin", "", preprocessing)
    return TableRow(ranking.title, (figure_cell(ranking.figure), Cell(), *map(Cell, words)))


def runs_table(models: Sequence[ModelFindings]) -> Table | None:
    """What was trained, and what the training itself measured at its end."""
    if not models:
        return None
    last = list(dict.fromkeys(name for model in models for name in _last_figures(model)))
    named = ("command", "size", "steps", "objectives", "DMI", "style", "shards", "seed")
    rows = []
    for model in models:
        options = model.recorded("options")
        autoencoder = model.run.command == "ae-train"
        words = (
            model.run.command,
            str(model.evaluation.models[0]["size"]),
            model.steps,
            *(_settings(model).values() if autoencoder else ("", "", "")),
            str(model.recorded("shards").get("count", "")),
            str(options.get("seed", "")),
        )
        figures = _last_figures(model)
        ours = [Cell(f"{figures[name]:.4f}") if name in figures else Cell() for name in last]
        rows.append(TableRow(model.name, (*map(Cell, words), *ours), f"{options.get('recipe', 'no')} recipe"))
    headings = [Heading(name, words=True) for name in named]
    headings += [Heading(name.replace("_", " ") + " ↓") for name in last]
    return Table(
        "What was trained",
        "run",
        tuple(headings),
        tuple(rows),
        (
            "The last columns are what the training itself measured at its end, on up to 64 images; "
            "shards: images.",
        ),
    )


def _last_figures(model: ModelFindings) -> dict[str, float]:
    found = model.recorded("figures").items()
    return {str(name): float(value) for name, value in found if isinstance(value, int | float)}


def sketch_tables(evaluation: SketchEvaluation, explained: bool = True) -> list[Table]:
    """One of every style's figures, one of every folder's variety, where there are such.

    explained: whether notes say what each column is.
    """
    methods = {str(one.path): one.shards.method for one in evaluation.shards}
    found = []
    for title, corner, blocks, kinds in (
        ("Lines", "style", (CONTENT, REALISM, STROKES), ("style", "people", "reference")),
        ("Variety", "folder", (VARIETY,), ("folder",)),
    ):
        rows = [row for row in evaluation.of_kind(*kinds) if any(row.figures.get(block) for block in blocks)]
        columns = [
            column
            for column in COLUMNS
            if column.block in blocks and any(row.figure(column.block, column.name) for row in rows)
        ]
        if not columns:
            continue
        headings = (
            Heading("drawn by", words=True),
            *(Heading(_with_arrow(column)) for column in columns),
            Heading("images"),
        )
        shown = []
        for row in rows:
            figures = [row.figure(column.block, column.name) for column in columns]
            cells = [
                figure_cell(figure, column.factor, column.decimals)
                for figure, column in zip(figures, columns, strict=True)
            ]
            images = max((figure.images for figure in figures if figure), default=0)
            drawn_by = "people" if row.kind in ("people", "reference") else methods.get(row.source, "")
            shown.append(TableRow(row.name, (Cell(drawn_by), *cells, Cell(f"{images:,}"))))
        notes = tuple(f"{column.heading}: {column.explained}" for column in columns if explained)
        found.append(Table(title, corner, headings, tuple(shown), notes))
    return found


def _with_arrow(column: Column) -> str:
    if column.block == STROKES:
        return column.heading  # neither high nor low is better
    return f"{column.heading} {'↓' if column.block == REALISM else '↑'}"


def ranking_table(report: Report) -> Table | None:
    """Best and worst images by their keys."""
    rows = [
        TableRow(
            one.key,
            (Cell(model.name), Cell(f"{what} {place}"), Cell(f"{one.value:.4f}"), Cell(one.sketch)),
        )
        for model in report.models
        for what, images in (("best", model.ranking.best), ("worst", model.ranking.worst))
        for place, one in enumerate(images, start=1)
    ]
    if not rows:
        return None
    measure = " or ".join(dict.fromkeys(model.ranking.title for model in report.models))
    headings = (
        Heading("run", words=True),
        Heading("rank", words=True),
        Heading(f"{measure} ↓"),
        Heading("sketch by", words=True),
    )
    return Table("Best and worst images", "key", headings, tuple(rows))
