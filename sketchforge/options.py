"""One frozen dataclass per command: its fields are the options, its values their defaults.

Free of torch, so that `--help` stays quick. Paths are None where the built-in samples or weights serve.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TomTrainOptions:
    """`sketchforge tom-train` (TOM, paper section 3)."""

    images: str | Path | None = None  # photos R, as `render` takes them; None: the built-in photos
    drawings: str | Path | None = None  # drawings S; None: the built-in drawings
    run: Path = Path("runs/tom")
    encoder: str = "builtin"  # builtin | vgg16 | vgg19 | random | path of a weights file
    generator: str = "lean"  # lean | paper
    adversarial: str = "hinge"  # hinge | log
    size: int = 192  # side of the square training crops, in pixels
    steps: int = 360
    batch_size: int = 4
    snapshots: int = 10
    seed: int = 0
    device: str = "auto"  # auto | cpu | cuda | cuda:N | mps
    threads: int = 0  # torch's CPU threads; 0: all cores
    overwrite: bool = False  # discard what `run` already holds


# TOM's lines are black somewhere. Edge detectors give probabilities, which need not reach black.
TOM_LOW_THRESHOLD = 0.15


def default_draw_size(side: int) -> int:
    """The longer side in pixels at which TOM draws a picture of `side`: 176 of 256, 240 of 512, 320 of 1024.

    Drawn large, hair and stone become hatching (docs/sketch-quality.md). A multiple of 16, at most what there is.
    """
    return min(side, 16 * round(11 * (side / 256) ** 0.44))


@dataclass(frozen=True)
class RenderOptions:
    """`sketchforge render`: images -> N sketches each, in WebDataset shards."""

    shards: Path  # output folder
    images: str | Path | None = None  # folder, tars, images or list (sources/find.py); None: built-in photos
    prefix_keys: bool = False  # put a tar's name before the keys of its images
    labels: str | None = None  # folder | FILE.csv | FILE.tsv: the class of each image; None: none
    masks: str | None = None  # colour | alpha | folder of masks: where each image's subject is; None: none
    split: str | None = None  # such as "train=.9,test=.1": parts of the images by their keys; None: one part
    shuffle_seed: int | None = None  # order of the inputs; None: as found
    limit: int | None = None  # take only the first `limit` images, after shuffling
    method: str = "tom"  # tom | canny | hed | pidinet | teed
    tom: Path | None = None  # run of `tom-train`, or "builtin"; None: runs/tom if there is one, else built-in
    checkpoints: int = 10  # number of the run's snapshots that draw, the most diverse first
    size: int = 256  # side of the output square, in pixels
    # Longer side of what is drawn; None: `default_draw_size` for tom, else theirs.
    draw_size: int | None = None
    fit: str = "crop"  # crop (largest centred square, then resized) | pad (white borders) | keep (as it is)
    sketch_format: str = "png1"  # png1 (bilevel) | png (8-bit grey)
    grey_levels: int = 8  # png: greys that sketches may have, black and white among them; 2 to 256
    thin: bool = False  # hed, pidinet, teed: keep the ridges of edges alone, lines one pixel wide
    threshold: float = 0.65  # png1: paper where the sketch is above it
    # png1: lines that are nowhere as dark as this are left out; None: TOM_LOW_THRESHOLD for tom, else none
    low_threshold: float | None = None
    # none (the method's own sketches) | builtin (ten hands) | a TOML file: who draws anew; None: builtin for tom, else none
    hands: str | None = None
    styles: tuple[str, ...] | None = None  # names of hands, in order; None: all, with tom `checkpoints`
    hands_seed: int = 0  # of what is random about the hands
    strokes: bool = False  # keep the strokes of every image, and what its hands made of them
    canny_low: float | None = None  # hysteresis thresholds on 8-bit gradients; None: automatic
    canny_high: float | None = None
    canny_blur: float = 2.0  # standard deviation of the Gaussian smoothing, in pixels
    edge_weights: Path | None = None  # of hed, pidinet or teed; None: the file in sketchforge's cache folder
    samples_per_shard: int | None = None  # None: for 16 shards or more, and at most 1,000
    batch_size: int = 8
    # Decode/encode processes; 0: `device.default_threads`, half as many if a network draws on the CPU.
    workers: int = 0
    threads: int = 0  # torch's CPU threads; 0: `device.default_threads`
    device: str = "auto"
    precision: str = "float32"  # float32 | bfloat16: what tom and edge networks compute in
    max_failures: int | None = None  # images that may fail before the run counts as failed; None: any number
    timeout: float = 300.0  # seconds a worker may take for one image before it is given up
    task_id: int = 0  # which of `num_tasks` pieces of the work to do, from 0
    num_tasks: int = 1
    check_digests: bool = False  # detect changed inputs of finished shards by content, not only by size
    retry_failed: bool = False  # render again the shards in which images failed
    overwrite: bool = False

    @property
    def thresholds(self) -> tuple[float, float] | None:
        """(threshold, low_threshold) that binarize sketches; None where sketches stay grey."""
        if self.sketch_format != "png1":
            return None
        default_low = TOM_LOW_THRESHOLD if self.method == "tom" else self.threshold
        return self.threshold, default_low if self.low_threshold is None else self.low_threshold

    @property
    def hands_source(self) -> str:
        """`hands`, or what the method has by default: edge detectors stay what they are known as."""
        return self.hands or ("builtin" if self.method == "tom" else "none")

    def drawn_side(self, side: int) -> int:
        """The longer side at which a picture whose own is `side` is drawn, in pixels; never larger than it is."""
        if self.draw_size is not None:
            return min(side, self.draw_size)
        return default_draw_size(side) if self.method == "tom" else side


@dataclass(frozen=True)
class GalleryOptions:
    """`sketchforge gallery`: a contact sheet, a web page or both, of a shard folder."""

    shards: Path
    png: Path | None = None  # the contact sheet to write
    html: Path | None = None  # the page to write
    compare: Path | None = None  # another folder of the same images, its sketches shown alongside
    rows: int | None = None  # images to show; None: 8 on the sheet, 200 on the page
    overwrite: bool = False  # replace files that sketchforge did not write


@dataclass(frozen=True)
class InspectOptions:
    """`sketchforge inspect`: what a shard folder holds, and how much ink its sketches have."""

    shards: Path
    samples: int = 500  # number of samples to read, spread evenly over all; 0: every one


@dataclass(frozen=True)
class ConvertOptions:
    """`sketchforge convert`: the strokes of shards in other formats."""

    shards: Path
    to: str  # svg | ndjson | stroke3
    out: Path  # the file or folder to write
    hand: tuple[str, ...] = ()  # whose drawings; (): all
    overwrite: bool = False


@dataclass(frozen=True)
class EvalSketchesOptions:
    """`sketchforge eval sketches`: how good the sketches of shard folders are, beside human drawings."""

    shards: tuple[Path, ...]
    boundaries: Path | None = None  # folder of annotations, KEY.mat; None: content is not measured
    references: tuple[Path, ...] = ()  # folders of human drawings; the first is the baseline
    samples: int = 100  # images per folder, spread evenly; 0: every one
    seed: int = 0
    workers: int = 0  # processes; 0: as many as speed it up, at most one per core
    json: Path | None = None  # files to write
    html: Path | None = None
    overwrite: bool = False


# Networks whose features compare sets of images, each with its weights file or None.
FEATURES: tuple[tuple[str, Path | None], ...] = (("inception", None), ("builtin", None))


@dataclass(frozen=True)
class EvalImagesOptions:
    """`sketchforge eval images`: how good a model's images are (paper section 5.2)."""

    model: Path  # a run of ae-train or gan-train, or a model's file
    shards: str  # sketches and style images to synthesize from, as for ImageTrainOptions
    reference: str | None = None  # images to compare with, a folder, tars or shards; None: the shards' own
    samples: int = 1000  # number of mismatched pairs, and of reference images at most (paper: 40,000)
    features: tuple[tuple[str, Path | None], ...] = FEATURES
    lpips: tuple[tuple[str, Path | None], ...] = (("alex", None),)  # alex | vgg | squeeze
    encoders: tuple[str, ...] = ("vgg19", "builtin")  # of SR: builtin | vgg16 | vgg19 | path
    tom: Path | None = None  # the run that drew the shards, or "builtin"; None: runs/tom or the built-in one
    split: str | None = None  # of the shards; None: test, else val, where there are splits, else all
    cache: Path | None = None  # folder for features of references; None: the user's cache folder
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    json: Path | None = None  # files to write
    html: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class EvalCompareOptions:
    """`sketchforge eval compare`: how far sets of images are from a reference."""

    reference: str  # a folder, tars, a list, or shards
    sets: tuple[str, ...]  # as `reference`, or models
    shards: str | None = None  # sketches and styles for models; None: the reference, where it is shards
    split: str | None = None  # of all shards that have splits; None: test, else val
    samples: int = 2048  # images of each set, spread evenly, and mismatched pairs of models; 0: all
    features: tuple[tuple[str, Path | None], ...] = FEATURES
    cache: Path | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    json: Path | None = None
    html: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class EvalReportOptions:
    """`sketchforge eval report`: shards, models and their measurements in one file."""

    shards: tuple[Path, ...] = ()  # (): out/ and out-*/
    models: tuple[Path, ...] = ()  # run folders; (): those in runs/
    held_out: Path | None = None  # shards to measure models on; None: those of `shards` not trained on
    reference: str | None = None  # as for EvalImagesOptions
    boundaries: Path | None = None  # as for EvalSketchesOptions
    drawings: tuple[Path, ...] = ()  # as EvalSketchesOptions.references
    samples: int = 200  # number of mismatched pairs of each model, and of reference images at most
    sketches: int = 20  # images of each shard folder whose sketches are measured; 0: every one
    features: tuple[tuple[str, Path | None], ...] = FEATURES
    lpips: tuple[tuple[str, Path | None], ...] = (("alex", None),)
    encoders: tuple[str, ...] = ("vgg19", "builtin")
    tom: Path | None = None
    cache: Path | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    workers: int = 0  # processes that measure sketches; 0: as many as speed it up
    html: Path | None = None  # files to write; without html, markdown and json: all three, eval/report.*
    markdown: Path | None = None
    json: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class EncoderTrainOptions:
    """`sketchforge encoder-train`: distil a VGG19-shaped teacher into the compact encoder."""

    images: tuple[str | Path, ...] = ()  # training images, each as `render` takes them
    teacher: str = "vgg19"  # vgg19 (torchvision's weights) | path of a weights file
    out: Path = Path("encoder.safetensors")
    run: Path | None = None  # folder of the unfinished training; None: `out` with .run appended
    overwrite: bool = False  # replace `out`, and discard what `run` holds
    steps: int = 3600
    batch_size: int = 16
    size: int = 96  # side of the square training crops, in pixels
    seed: int = 0
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class ImageTrainOptions:
    """Options that all trainings of image models share. None: the recipe's value."""

    shards: str = "out"  # a folder, its URL, or a text in which {} stands for the file name
    split: str | None = None  # of the shards; None: train where there is one, else all
    validation: str | None = None  # shards of other images, for previews and for the reconstruction curve
    run: Path
    recipe: str = "demo"  # demo | large | paper
    size: int | None = None  # side of the images, in pixels: a power of two, 64 to 1024
    steps: int | None = None
    batch_size: int | None = None  # images a step
    encoder: str = "builtin"  # of the perceptual loss, as for TomTrainOptions
    accumulate: int = 1  # gradient accumulation steps: micro-batches that a step's batch is split into
    precision: str = "auto"  # float32 | bfloat16 | auto: bfloat16 on CUDA, else float32
    compile: bool = False  # torch.compile
    workers: int | None = None  # processes that prepare data; None: one on a CPU, up to eight for a GPU
    cache: Path | None = None  # folder for downloaded shards; None: a temporary one for this run
    eval_every: int | None = None  # steps; measure the Fréchet distance, keep the best model; None: neither
    best_by: str = "frechet"  # reconstruction | perceptual | frechet: the metric whose lowest value is best
    redraw: float = 0.0  # share of the sketches that are drawn anew from the shards' strokes, 0 to 1
    skip_bad_shards: bool = False  # skip and count shards that cannot be read
    overwrite: bool = False  # discard what `run` already holds
    seed: int = 0
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class AeTrainOptions(ImageTrainOptions):
    """`sketchforge ae-train`: train the auto-encoder on shards; recipes in trainers/autoencoder/recipe.py."""

    run: Path = Path("runs/ae")
    losses: tuple[tuple[str, float], ...] = ()  # (loss, weight) where the weight differs from the recipe's
    dmi: str | None = None  # none | sketch | feature
    style: str | None = None  # none | adain | add | multiply
    translated: float | None = None  # share decoded from translated style and sketch (section 4.1)
    subset: int | None = None  # k of Eq. 8: images that are classes at a time
    subset_passes: int | None = None  # through them, before the next
    style_margin: float | None = None  # of Eqs. 7 and 10, in cosines
    content_margin: float | None = None


@dataclass(frozen=True, kw_only=True)
class GanTrainOptions(ImageTrainOptions):
    """`sketchforge gan-train`: refine a trained auto-encoder's images; recipes in trainers/gan/recipe.py."""

    run: Path = Path("runs/gan")
    ae: Path = Path("runs/ae")  # a run of ae-train, or its model file
    augment: str | None = None  # policy of DiffAugment: color, translation, cutout with commas; "" for none
    r1: float | None = None  # weight of the R1 penalty; 0: none
    noise: bool = True


@dataclass(frozen=True)
class ExportOptions:
    """`sketchforge export`: a finished run -> one file with all that synthesis needs, and its model card."""

    run: Path = Path("runs/gan")  # of gan-train or ae-train
    out: Path = Path("model.safetensors")
    tom: Path | None = None  # a run of tom-train, or "builtin", of which to include a snapshot; None: none
    snapshot: str | None = None  # its name or number; None: the first
    overwrite: bool = False  # replace an existing file


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """Options that all commands share that synthesize images with a trained model."""

    model: Path | None = None  # an exported file or a run folder; None: runs/gan, else runs/ae
    style: tuple[str, ...] = ()  # images as `find_images` takes them; none: built-in photos
    out: Path
    noise: bool = False
    seed: int = 0  # of the noise
    batch_size: int | None = None  # images per batch; None: one on a CPU, else 16
    overwrite: bool = False
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class SynthesizeOptions(SynthesisOptions):
    """`sketchforge synthesize`: sketches drawn out in the style of style images."""

    sketch: tuple[str, ...] = ()  # as style; none: built-in drawings
    pairs: bool = False  # sketch and style of one name, not every sketch with every style
    raw: bool = False  # take sketches as they are; do not turn them into black on white first


@dataclass(frozen=True, kw_only=True)
class MixOptions(SynthesisOptions):
    """`sketchforge mix`: sketches drawn out in the style of two or four style images at once (Fig. 7)."""

    sketch: tuple[str, ...] = ()
    raw: bool = False


@dataclass(frozen=True, kw_only=True)
class TransferOptions(SynthesisOptions):
    """`sketchforge transfer`: images, sketched by TOM, drawn out in the style of style images (Fig. 9)."""

    content: tuple[str, ...] = ()  # as style; none: built-in photos
    tom: Path | None = None  # a run of tom-train, or "builtin"; None: the model's snapshot, else as `render`
    checkpoint: int | None = None  # which snapshot draws, counted from 0 in the run's order
