"""The options of trainings."""

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
    precision: str = "auto"  # float32 | bfloat16 | auto: bfloat16 on CUDA, else float32
    device: str = "auto"  # auto | cpu | cuda | cuda:N | mps
    threads: int = 0  # torch's CPU threads; 0: all cores
    overwrite: bool = False  # discard what `run` already holds


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
    precision: str = "auto"  # as for TomTrainOptions
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
    dmi: str | None = None  # none | sketch | feature | spade
    style: str | None = None  # none | adain | add | multiply
    content_side: int | None = None  # of the finest map where the sketch enters the decoder, 32 to size/4
    padding: str | None = None  # zeros | replicate: what convolutions see beyond the border
    variational: bool = False  # f_style as a normal distribution (A.3)
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
    discriminator: str | None = None  # pixels | features: what D looks at
    augment: str | None = None  # policy of DiffAugment: color, translation, cutout with commas; "" for none
    r1: float | None = None  # weight of the R1 penalty; 0: none
    noise: bool = True


@dataclass(frozen=True, kw_only=True)
class Style2PaintsTrainOptions(ImageTrainOptions):
    """`sketchforge style2paints-train`: Style2Paints V1; recipes (demo, paper) in trainers/style2paints/recipe.py."""

    run: Path = Path("runs/style2paints")
    hint: str = "auto"  # network: builtin | efficientnet-lite0 | vgg19 | auto: the second where installed
    hint_size: int | None = None  # length of the hint; None: the recipe's
    guides: bool = True  # losses of their own for the middle layers
    guide_target: str | None = None  # grey | colour: what the first guide decoder gives back
    discriminator: str | None = None  # both | auxiliary | plain
    reconstruction: float | None = None  # λ, weight of the absolute errors


@dataclass(frozen=True, kw_only=True)
class SeginTrainOptions(ImageTrainOptions):
    """`sketchforge segin-train`: SEGIN; recipes (demo, paper) in trainers/segin/recipe.py."""

    run: Path = Path("runs/segin")
    losses: tuple[tuple[str, float], ...] = ()  # (loss, weight) where the weight differs from the recipe's
    match: str | None = None  # argmax | soft | sift
    input: str | None = None  # sketch | grey: a photo's grey, which is colourised
    non_local: bool = True


@dataclass(frozen=True, kw_only=True)
class DiffSketchingTrainOptions(ImageTrainOptions):
    """`sketchforge diffsketching-train`: DiffSketching; recipes (demo, paper) in trainers/diffsketching/recipe.py."""

    run: Path = Path("runs/diffsketching")
    condition: str | None = None  # guidance | concatenation: how a sketch has an effect
    unet: Path | None = None  # folder of a pretrained UNet2DModel of diffusers; None: random weights
    tom: Path | None = None  # a run of tom-train whose first snapshot is P; None: the built-in one
    denoising_steps: int | None = None  # first stage; later steps fine-tune
    through: int | None = (
        None  # last steps of DDIM that keep their gradients in fine-tuning; 0: x̂_0 by one step
    )
    identity: float | None = None  # λ, weight of the image's identity; the sketch's is 1 − λ
    sampling_steps: int | None = None  # of DDIM
    strength: float | None = None  # share of the time steps by which style images are noised, above 0 to 1
