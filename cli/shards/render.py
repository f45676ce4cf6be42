"""`sketchforge render`"""

from __future__ import annotations

from typing import Any

import click

from cli.command import Command
from cli.job_array import task_of_job_array
from cli.options import (
    PATH,
    SHARDS,
    TOM_RUN,
    defaults_of,
    device_option,
    dry_run_option,
    images_option,
    on_interrupt,
    option,
    overwrite_option,
    threads_option,
)
from cli.progress import Bar
from cli.shards.cluster_options import cluster_options
from cli.shards.input_options import input_options
from cli.shards.render_messages import describe_estimate, describe_kept, print_render_summary
from cli.source_types import Names, Pixels, SourceText
from cli.verbosity import print_next_step
from sketchforge.options import TOM_LOW_THRESHOLD, RenderOptions

DEFAULTS = defaults_of(RenderOptions)


@click.command(
    "render",
    cls=Command,
    takes=("--images", "--shards"),
    short_help="Draw sketches of every image, and write shards.",
    epilog="Example: sketchforge render --images photos/ --checkpoints 10 --shards out/",
)
@images_option(
    "Folder of images, at any depth; tar shards, as in 'laion/{00000..00009}.tar' or 'laion/*.tar.gz'; parquet "
    "files, as in 'set/data/*.parquet'; a list of files (.txt); or an index of them (see `sketchforge index`). "
    "[default: the built-in photos]"
)
@input_options()
@option(
    "--split",
    group="Output",
    metavar="NAME=SHARE,...",
    help="Cut the images into parts by their keys, each in shards of its own, as in train=.9,test=.1.",
)
@option(
    "--shards",
    group="Output",
    type=SHARDS,
    required=True,
    metavar="DIR|URL",
    help="Output folder, here or in a store, as in s3://bucket/out.",
)
@option(
    "--method",
    group="Drawing",
    type=click.Choice(["tom", "canny", "hed", "pidinet", "teed"]),
    default=DEFAULTS["method"],
    show_default=True,
    help="tom: the snapshots of a `tom-train` run; canny: edges, one sketch per image; hed, pidinet, teed: "
    "learned edges, one sketch per image, with weights that you provide (see `sketchforge weights list`).",
)
@option(
    "--tom",
    group="Drawing",
    type=TOM_RUN,
    metavar="RUN",
    help="Run of `tom-train`, or `builtin`. [default: runs/tom where there is one, else builtin]",
)
@option(
    "--checkpoints",
    group="Drawing",
    type=click.IntRange(min=1),
    default=DEFAULTS["checkpoints"],
    show_default=True,
    metavar="N",
    help="tom: draw with the N most diverse snapshots, N sketches per image; with --hands there may be more sketches than "
    "snapshots, for hands draw again.",
)
@option(
    "--size",
    group="Look",
    type=Pixels(min=16, max=4096),
    default=DEFAULTS["size"],
    show_default=True,
    metavar="PIXELS",
    help="Side of the output square.",
)
@option(
    "--draw-size",
    group="Look",
    type=Pixels(min=16, max=4096),
    metavar="PIXELS",
    help="Longer side at which images are drawn; the sketches are enlarged before they become black and white, or are "
    "traced for hands. [default: for tom 176 of 256, 240 of 512, 320 of 1024 and so on; other methods: the image's own]",
)
@option(
    "--fit",
    group="Look",
    type=click.Choice(["crop", "pad", "keep"]),
    default=DEFAULTS["fit"],
    show_default=True,
    help="crop: largest centred square, resized; pad: all of it, white borders; keep: images as they are.",
)
@option(
    "--sketch-format",
    group="Look",
    type=click.Choice(["png1", "png"]),
    default=DEFAULTS["sketch_format"],
    show_default=True,
    help="png1: black and white; png: 8-bit grey.",
)
@option(
    "--grey-levels",
    group="Look",
    type=click.IntRange(2, 256),
    default=DEFAULTS["grey_levels"],
    show_default=True,
    metavar="N",
    help="png: how many greys, black and white among them; 256 keeps all. Soft greys hide a copy of the photo, which "
    "models learn to read.",
)
@option(
    "--thin",
    group="Look",
    is_flag=True,
    help="hed, pidinet, teed: lines one pixel wide, along the ridges of edges (non-maximum suppression).",
)
@option(
    "--threshold",
    group="Look",
    type=click.FloatRange(0, 1, max_open=True),
    default=DEFAULTS["threshold"],
    show_default=True,
    metavar="0..1",
    help="png1: paper where the sketch is above it; lower gives thinner lines.",
)
@option(
    "--low-threshold",
    group="Look",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="0..1",
    help="png1: lines that are nowhere as dark as this are left out; lower gives fewer lines. "
    f"[default: {TOM_LOW_THRESHOLD} for tom, the threshold for other methods]",
)
@option(
    "--hands",
    group="Drawing",
    type=SourceText("none", "builtin"),
    metavar="none|builtin|FILE",
    help="Who draws the method's sketches anew: builtin: ten hands, as ten people would; FILE: hands of one's own (TOML); "
    "none: nobody, sketches are the method's own. [default: builtin for tom, none for other methods]",
)
@option(
    "--styles",
    group="Drawing",
    type=Names(),
    metavar="NAME,…",
    help="Which hands draw, in this order; tom's snapshots, from which they draw, are still those of --checkpoints. "
    "[default: all; with tom as many as --checkpoints]",
)
@option(
    "--hands-seed",
    group="Drawing",
    type=click.IntRange(min=0),
    default=DEFAULTS["hands_seed"],
    show_default=True,
    metavar="N",
    help="Another seed, other drawings by the same hands.",
)
@option(
    "--strokes",
    group="Drawing",
    is_flag=True,
    help="Keep the strokes beside the sketches, for `convert` and for trainings that draw them anew. With --hands none: "
    "those traced in the method's sketches.",
)
@option(
    "--canny-low",
    group="Drawing",
    type=click.FloatRange(min=0),
    metavar="GRADIENT",
    help="canny: lower threshold, on Sobel gradients of 8-bit grey. [default: automatic]",
)
@option(
    "--canny-high",
    group="Drawing",
    type=click.FloatRange(min=0),
    metavar="GRADIENT",
    help="canny: upper threshold. [default: automatic]",
)
@option(
    "--canny-blur",
    group="Drawing",
    type=click.FloatRange(min=0),
    default=DEFAULTS["canny_blur"],
    show_default=True,
    metavar="PIXELS",
    help="canny: standard deviation of the smoothing; 0: none.",
)
@option(
    "--edge-weights",
    group="Drawing",
    type=PATH,
    metavar="FILE",
    help="hed, pidinet, teed: weights. [default: looked for as `sketchforge weights path NAME` says]",
)
@option(
    "--drop-blank",
    group="Output",
    is_flag=True,
    help="Leave out images all of whose sketches are blank (less than 0.1 % ink); they are counted and named.",
)
@option(
    "--samples-per-shard",
    group="Output",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images per tar file. [default: as many as give 16 files or more, at most 1,000]",
)
@option(
    "--batch-size",
    group="Machine",
    type=click.IntRange(min=1),
    default=DEFAULTS["batch_size"],
    show_default=True,
    metavar="N",
    help="Images drawn at once.",
)
@option(
    "--workers",
    group="Machine",
    type=click.IntRange(min=0),
    default=DEFAULTS["workers"],
    show_default=True,
    metavar="N",
    help="Processes that decode and encode; 0: OMP_NUM_THREADS, else one per usable core; half of that where a network "
    "draws on the CPU. Does not change the result.",
)
@threads_option(DEFAULTS["threads"])
@device_option(DEFAULTS["device"])
@option(
    "--precision",
    group="Machine",
    type=click.Choice(["float32", "bfloat16"]),
    default=DEFAULTS["precision"],
    show_default=True,
    help="What tom and edge networks compute in. bfloat16: nearly the same sketches, faster on GPUs and on "
    "processors that have it, slower on all others.",
)
@option(
    "--max-failures",
    group="Failures",
    type=click.IntRange(min=0),
    default=DEFAULTS["max_failures"],
    metavar="N",
    help="Stop with exit code 1 once more images have failed. [default: go on whatever fails]",
)
@option(
    "--timeout",
    group="Failures",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULTS["timeout"],
    show_default=True,
    metavar="SECONDS",
    help="Give an image up when a worker takes longer for it.",
)
@cluster_options()
@option(
    "--check-digests",
    group="Failures",
    is_flag=True,
    help="Read the inputs of finished shards again, and draw anew what has changed in content, not only in size.",
)
@option(
    "--retry-failed", group="Failures", is_flag=True, help="Draw those shards anew in which images failed."
)
@option(
    "--append",
    group="Output",
    is_flag=True,
    help="Put images that a finished folder does not have into new shards of it, by the folder's own options; what is there "
    "stays as it is.",
)
@overwrite_option("Replace the shards that the output folder holds.")
@dry_run_option()
def render_command(dry_run: bool, **values: Any) -> None:
    """Draw N sketches of every image and write them as WebDataset tar shards.

    The same command again continues where it stopped. Images that cannot be read are counted and named in the
    .jsonl file beside each shard.
    """
    from sketchforge.render.render import preview, render

    options = RenderOptions(**values | task_of_job_array(click.get_current_context()))
    if dry_run:
        from sketchforge.images.sources import describe_passed_over
        from sketchforge.render.summary import describe_rendering

        job = preview(options, Bar())
        click.echo(describe_rendering(job))
        if passed_over := describe_passed_over(job.plan.passed_over):
            click.echo(passed_over)
        click.echo(describe_estimate(job))
        return
    progress = Bar(delay=0)
    with on_interrupt(lambda: describe_kept(options, progress)):
        summary = render(options, progress)
    print_render_summary(options, summary)
    if summary.num_images and summary.complete:
        print_next_step("gallery", options.shards, "--html", "gallery.html")
