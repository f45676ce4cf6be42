"""`sketchforge ae-train`"""

from __future__ import annotations

from typing import Any

import click

from cli.options import FOLDER, defaults_of, device_option, on_interrupt, seed_option, threads_option
from cli.training_bar import TrainingBar
from sketchforge.options import AeTrainOptions

DEFAULTS = defaults_of(AeTrainOptions)
LOCATION = "DIR|URL"


def _weight(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """NAME=WEIGHT, any number of them; what names there are is the trainer's to say."""
    found = {}
    for text in given:
        name, _, weight = text.partition("=")
        try:
            found[name.strip().replace("-", "_")] = float(weight)
        except ValueError:
            raise click.BadParameter(f"{text!r}: expected NAME=WEIGHT, as in style-class=0.5") from None
    return tuple(sorted(found.items()))


@click.command("ae-train", epilog="Example: sketchforge ae-train --shards out/ --size 256 --steps 20000")
@click.option("--shards", default=DEFAULTS["shards"], show_default=True, metavar=LOCATION,
              help="Shards made by `render`: a folder, its URL, or a text with {} for the file name, as in "
                   "'pipe:aws s3 cp s3://bucket/out/{} -'.")
@click.option("--validation", metavar=LOCATION,
              help="Shards of other images, for previews and the reconstruction curve. [default: the same images]")
@click.option("--run", type=FOLDER, default=DEFAULTS["run"], show_default=True, metavar="DIR", help="Where all goes.")
@click.option("--recipe", type=click.Choice(["demo", "paper"]), default=DEFAULTS["recipe"], show_default=True,
              help="demo: 64 pixels, minutes on two cores; paper: as published, days on a GPU.")
@click.option("--size", type=int, metavar="PIXELS", help="64, 128, 256, 512 or 1024. [default: the recipe's]")
@click.option("--steps", type=click.IntRange(min=1), metavar="N",
              help="Training steps; a run that is done goes on when asked for more. [default: the recipe's]")
@click.option("--batch-size", type=click.IntRange(min=2), metavar="N", help="Images per step. [default: the recipe's]")
@click.option("--accumulate", type=click.IntRange(min=1), default=DEFAULTS["accumulate"], show_default=True, metavar="N",
              help="Go through a step's batch in so many parts, to save memory.")
@click.option("--loss", "losses", multiple=True, callback=_weight, metavar="NAME=WEIGHT",
              help="Weight of an objective, 0 for off; again for more: reconstruction, perceptual, style-triplet, "
                   "style-class, content-triplet, content-class.")
@click.option("--dmi", type=click.Choice(["none", "sketch", "feature"]),
              help="How the sketch enters the decoder (Table 3). [default: the recipe's]")
@click.option("--style", type=click.Choice(["none", "adain", "add", "multiply"]),
              help="How the style enters it (Table 4). [default: the recipe's]")
@click.option("--encoder", default=DEFAULTS["encoder"], show_default=True, metavar="builtin|vgg16|vgg19|PATH",
              help="The frozen eye of the perceptual objective.")
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default=DEFAULTS["precision"],
              show_default=True, help="auto: bfloat16 on CUDA, else float32.")
@click.option("--compile", is_flag=True, help="torch.compile: slow to begin, faster after.")
@click.option("--workers", type=click.IntRange(min=0), metavar="N",
              help="Processes that prepare data. [default: 1 on a CPU, up to 8 for a GPU]")
@click.option("--cache", type=FOLDER, metavar="DIR", help="Keep shards of a URL here. [default: for this run only]")
@click.option("--skip-bad-shards", is_flag=True, help="Pass over what cannot be read, and count it.")
@seed_option(DEFAULTS["seed"])
@threads_option(DEFAULTS["threads"])
@device_option(DEFAULTS["device"])
@click.option("--fresh", is_flag=True, help="Discard what the run folder holds and begin anew.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, write nothing.")
def ae_train_command(dry_run: bool, **values: Any) -> None:
    """Train the auto-encoder: a sketch and a style picture make a picture, learned from shards alone.

    The same command again continues a run that was interrupted. The run folder ends with the model, a log and a
    picture of sketches drawn out in the styles of several images.
    """
    from trainers.ae_session import plan_ae, train_ae
    from trainers.image_training import GRID_FILE, MODEL_FILE

    options = AeTrainOptions(**values)
    if dry_run:
        for line in _introduction(plan_ae(options)):
            click.echo(line)
        return
    bar = TrainingBar(_introduction)
    with on_interrupt(lambda: _kept(options, bar.began)):
        train_ae(options, bar)
    if not bar.began:
        click.echo(f"{options.run}: finished already; more --steps go on, --fresh trains anew")
    click.echo(f"model: {options.run / MODEL_FILE}, sketches × styles: {options.run / GRID_FILE}")


def _introduction(plan: Any) -> list[str]:
    options, recipe = plan.options, plan.recipe
    from sketchforge.models.autoencoder import AutoEncoder
    from sketchforge.models.layers import count_parameters

    device = plan.record["options"]["device"]
    threads = f" with {plan.record['options']['threads']} threads" if device == "cpu" else ""
    parameters = count_parameters(AutoEncoder(recipe.size, recipe.width, recipe.style_dim, recipe.dmi, recipe.style))
    held_out = f", {plan.validation.num_samples} held out" if plan.validation else ""
    lines = [
        f"{plan.shards.num_samples} images with {len(plan.shards.styles)} sketches each ({options.shards}){held_out}; "
        f"{parameters / 1e6:.1f} million parameters, {recipe.steps} steps of {recipe.batch_size} at {recipe.size} px on "
        f"{device}{threads}, {plan.record['options']['precision']} -> {options.run}"
    ]
    if plan.shards.size < recipe.size:
        lines.append(f"the shards have {plan.shards.size} px and are enlarged to {recipe.size}")
    return lines


def _kept(options: AeTrainOptions, began: bool) -> str:
    """For a run that was interrupted: what is kept, and how to go on."""
    if not began:
        return "no step was trained yet"
    fresh = " without --fresh" if options.fresh else ""
    return f"{options.run} keeps every step that was done; run the same command again{fresh} to continue"
