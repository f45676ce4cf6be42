"""The tables of a report: the runs beside the paper's figures, all figures, runs, sketches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sketchforge.metrics.estimates import Estimate
from sketchforge.metrics.sketches.result import CONTENT, REALISM, STROKES, VARIETY, SketchEvaluation
from sketchforge.report.images.tables import model_figures
from sketchforge.report.sketches.tables import COLUMNS, IN_TRAINING_SET, Column
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
    losses_of,
)
from sketchforge.report.tables import Cell, Heading, Table, TableRow, figure_cell

BESIDE = (
    "The paper's figures: its Table {0}, 1024 pixels, {1}. For the order of variants, not the size "
    "of figures: ours are of other data, sizes and lengths of training."
)
Told = Callable[[ModelFindings], str]
Columns = Sequence[tuple[str, float, Callable[[ModelFindings], Mapping[str, Estimate]]]]


def paper_tables(models: Sequence[ModelFindings]) -> list[Table]:
    """The runs as in the paper's Tables 1 to 4, with the paper's own rows folded below them.

    None without a model, and only the first without an auto-encoder.
    """
    if not models:
        return []
    autoencoders = [model for model in models if model.run.command == "ae-train"]

    def describe_settings(*names: str) -> Told:
        return lambda model: ", ".join(f"{name} {_read_settings(model)[name]}" for name in names)

    distances = [
        ("↓", 1.0, lambda model: model.figures("frechet")),
        ("↓", 1.0, lambda model: model.figures("kid")),
    ]
    relevance = ("↑", 1.0, lambda model: model.figures("sr_colour", "sr_texture", "sr"))
    matched = ("↓", 100.0, lambda model: model.matched)
    skt_rec = ("↓", 1.0, lambda model: model.figures("skt_rec", "skt_rec_relative"))
    sty_rec = ("↑", 1.0, lambda model: model.figures("sty_rec"))
    tables = [
        _build_paper_table(
            "Table 1: all methods",
            models,
            [*distances, relevance],
            ("CelebA-HQ FID ↓", "CelebA-HQ SR ↑", "WikiArt FID ↓", "WikiArt SR ↑"),
            TABLE_1,
            lambda model: in_table_1(model.run.command, model.recipe),
            lambda model: (
                describe_settings("losses", "DMI", "style")(model) if model.run.command == "ae-train" else ""
            ),
            (
                BESIDE.format(1, "CelebA-HQ and WikiArt, 40,000 mismatched pairs"),
                "The paper's AE has all losses; a GAN stands beside its AE + GAN whatever "
                "auto-encoder it refines. Beside SPADE and Sketch2art stand our auto-encoders that join sketch and style "
                "as they do (--dmi spade; --dmi sketch --style adain), not those systems.",
            ),
        )
    ]
    if not autoencoders:
        return tables
    tables += [
        _build_paper_table(
            "Table 2: the auto-encoder's losses",
            autoencoders,
            [*distances, matched],
            ("FID ↓", "LPIPS × 100 ↓"),
            TABLE_2,
            lambda model: in_table_2(model.recipe),
            describe_settings("losses", "DMI", "style"),
            (
                BESIDE.format(2, "CelebA-HQ"),
                "What a row is follows from the losses that are on in the run's recipe, whatever "
                "their weights.",
            ),
        ),
        _build_paper_table(
            "Table 3: dual mask injection",
            autoencoders,
            [matched, skt_rec],
            ("LPIPS × 100 ↓", "Skt-Rec ↓"),
            TABLE_3,
            lambda model: in_table_3(model.recipe),
            describe_settings("losses", "style"),
            (
                BESIDE.format(3, "WikiArt"),
                "The paper does not define Skt-Rec; ours is the mean difference of darkness, a little blurred, "
                "between a sketch and what its own snapshot draws of the image. How style joins in is another "
                "matter (Table 4), and is told below the name of a run.",
            ),
        ),
        _build_paper_table(
            "Table 4: how style joins in",
            autoencoders,
            [matched, sty_rec],
            ("LPIPS × 100 ↓", "Sty-Rec ↑"),
            TABLE_4,
            lambda model: in_table_4(model.recipe),
            describe_settings("losses", "DMI"),
            (BESIDE.format(4, "WikiArt"), "Sty-Rec asks each model's own style encoder: compare with care."),
        ),
    ]
    return tables


def _build_paper_table(
    title: str,
    models: Sequence[ModelFindings],
    columns: Columns,
    published_headings: Sequence[str],
    published: Mapping[str, tuple[str, ...]],
    find_row: Callable[[ModelFindings], str | None],
    describe: Told,
    notes: tuple[str, ...],
) -> Table:
    """The runs in the order of the paper's rows, those without one last; the paper's rows are a folded table.

    columns: (arrow, factor, figures by title) of each measured column. find_row: a run's row, None: none.
    describe: the small print of a run. notes: the first is on the paper's figures.
    """
    measured_columns = [
        (name, factor, arrow, figures)
        for arrow, factor, figures in columns
        for name in dict.fromkeys(name for model in models for name in figures(model))
    ]
    common_set = _find_common_set(models)
    row_of = {model.name: find_row(model) for model in models}
    beside = any(row_of.values())  # else there is nothing of the paper's to stand beside
    headings = [
        Heading(f"{name}{' × 100' if factor == 100 else ''} {arrow}")
        for name, factor, arrow, _ in measured_columns
    ]
    headings += [Heading(f"paper: {name}", published=True) for name in published_headings if beside]
    rows = []
    for name in (*published, None):
        values = published[name] if name else ("",) * len(published_headings)
        for model in [model for model in models if row_of[model.name] == name]:
            cells = [
                figure_cell(figures(model).get(title), factor)
                for title, factor, _, figures in measured_columns
            ]
            cells += [Cell(value) for value in values if beside]
            detail = [
                f"beside {name}" if name else "",
                describe(model),
                "" if common_set else model.evaluation_set.description,
            ]
            rows.append(TableRow(model.name, tuple(cells), "; ".join(filter(None, detail))))
    counts = sorted({row.count for model in models for row in model.rows() if row.pairs == "mismatched"})
    num_pairs = (
        f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}" if counts else "no"
    )
    note = f"Ours: {num_pairs} mismatched pairs a model{common_set and f', of {common_set}'}."
    folded = Table(
        f"The paper's {title.partition(':')[0]}",
        "method",
        tuple(Heading(name, published=True) for name in published_headings),
        tuple(TableRow(name, tuple(map(Cell, published[name])), published=True) for name in published),
        notes[:1],
    )
    return Table(title, "run", tuple(headings), tuple(rows), (note, *notes[0 if beside else 1 :]), folded)


def _read_settings(model: ModelFindings) -> dict[str, str]:
    """The auto-encoder's settings by the names that tables show."""
    recipe = model.recipe
    return {
        "losses": losses_of(recipe) if recipe else "unknown",
        "DMI": str(recipe.get("dmi", "unknown")),
        "style": str(recipe.get("style", "unknown")),
    }


def _find_common_set(models: Sequence[ModelFindings]) -> str:
    """The evaluation set that all models share; empty where they differ."""
    grounds = {model.evaluation_set.description for model in models}
    return grounds.pop() if len(grounds) == 1 else ""


def all_figures(models: Sequence[ModelFindings]) -> list[Table]:
    """A table for each model: every figure, chance's figure, and what both were computed with."""
    tables: list[Table] = []
    for model in models:
        more = [] if model.figures("lpips") else [_build_ranking_row(model)]
        title = f"{model.name}: {model.evaluation_set.description}"
        tables.append(model_figures(model.evaluation, title, more, explained=not tables))
    return tables


def _build_ranking_row(model: ModelFindings) -> TableRow:
    """The row of the error that replaces LPIPS where that was not measured."""
    ranking = model.ranking
    count, preprocessing = f"{ranking.count:,}", "outputs and images at the model's size"
    words = ("lower", "matched", count, "builtin", "", preprocessing)
    return TableRow(ranking.title, (figure_cell(ranking.figure), Cell(), *map(Cell, words)))


def runs_table(models: Sequence[ModelFindings]) -> Table | None:
    """The settings of every training, and the figures that it measured at its end."""
    if not models:
        return None
    figure_names = list(dict.fromkeys(name for model in models for name in _read_last_figures(model)))
    setting_names = ("command", "size", "steps", "losses", "DMI", "style", "shards", "seed")
    rows = []
    for model in models:
        options = model.recorded("options")
        autoencoder = model.run.command == "ae-train"
        words = (
            model.run.command,
            str(model.evaluation.models[0]["size"]),
            model.steps,
            *(_read_settings(model).values() if autoencoder else ("", "", "")),
            str(model.recorded("shards").get("count", "")),
            str(options.get("seed", "")),
        )
        figures = _read_last_figures(model)
        last_cells = [Cell(f"{figures[name]:.4f}") if name in figures else Cell() for name in figure_names]
        rows.append(
            TableRow(model.name, (*map(Cell, words), *last_cells), f"{options.get('recipe', 'no')} recipe")
        )
    headings = [Heading(name, words=True) for name in setting_names]
    headings += [Heading(name.replace("_", " ") + " ↓") for name in figure_names]
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


def _read_last_figures(model: ModelFindings) -> dict[str, float]:
    figures = model.recorded("figures").items()
    return {str(name): float(value) for name, value in figures if isinstance(value, int | float)}


def sketch_tables(evaluation: SketchEvaluation, explained: bool = True) -> list[Table]:
    """The table of every style's figures and that of every folder's variety, where they were measured.

    explained: whether notes explain each column.
    """
    methods = {str(sketch_input.path): sketch_input.shards.method for sketch_input in evaluation.shards}
    tables = []
    for title, corner, blocks, kinds in (
        ("Lines", "style", (CONTENT, REALISM, STROKES), ("style", "people", "reference")),
        ("Variety", "folder", (VARIETY,), ("folder", "pairs")),
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
            *(Heading(_add_arrow(column)) for column in columns),
            Heading("images"),
        )
        table_rows = []
        for row in rows:
            figures = [row.figure(column.block, column.name) for column in columns]
            cells = [
                figure_cell(figure, column.factor, column.decimals)
                for figure, column in zip(figures, columns, strict=True)
            ]
            images = max((figure.images for figure in figures if figure), default=0)
            drawn_by = (
                "people" if row.kind in ("people", "reference", "pairs") else methods.get(row.source, "")
            )
            mark = " *" if row.is_marked and row.figures.get(CONTENT) else ""
            table_rows.append(TableRow(row.name + mark, (Cell(drawn_by), *cells, Cell(f"{images:,}"))))
        notes = tuple(f"{column.heading}: {column.explained}" for column in columns if explained)
        if any(row.is_marked and row.figures.get(CONTENT) for row in rows):
            notes = (*notes, IN_TRAINING_SET)
        tables.append(Table(title, corner, headings, tuple(table_rows), notes))
    return tables


def _add_arrow(column: Column) -> str:
    if column.block == STROKES:
        return column.heading  # neither high nor low is better
    return f"{column.heading} {'↓' if column.lower_is_better else '↑'}"


def ranking_table(report: Report) -> Table | None:
    """The best and worst images of every model, by their keys."""
    rows = [
        TableRow(
            image.key,
            (Cell(model.name), Cell(f"{end} {rank}"), Cell(f"{image.value:.4f}"), Cell(image.sketch)),
        )
        for model in report.models
        for end, images in (("best", model.ranking.best), ("worst", model.ranking.worst))
        for rank, image in enumerate(images, start=1)
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
