"""The options of `render`, and of what reads its shards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

    shards: str | Path  # output folder, or the URL of one
    images: str | Path | None = None  # folder, tars, images or list (sources/find.py); None: built-in photos
    prefix_keys: bool = False  # put a tar's name before the keys of its images
    frames: int | None = (
        None  # at most so many of each animated image and video; None: stills, without videos
    )
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
    engine: str = "local"  # local | ray: what the shards are made by
    address: str | None = None  # ray: of the cluster; None: one on this machine
    engine_workers: int = 0  # ray: processes that make a shard each; 0: as many as the cluster has room for
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    check_digests: bool = False  # detect changed inputs of finished shards by content, not only by size
    retry_failed: bool = False  # render again the shards in which images failed
    drop_blank: bool = False  # leave out images all of whose sketches are blank
    append: bool = False  # put images that a finished folder does not have into new shards of it
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

    shards: str | Path
    png: Path | None = None  # the contact sheet to write
    html: Path | None = None  # the page to write
    compare: str | Path | None = None  # another folder of the same images, its sketches shown alongside
    rows: int | None = None  # images to show; None: 8 on the sheet, 200 on the page
    overwrite: bool = False  # replace files that sketchforge did not write


@dataclass(frozen=True)
class InspectOptions:
    """`sketchforge inspect`: what a shard folder holds, and how much ink its sketches have."""

    shards: str | Path
    samples: int = 500  # number of samples to read, spread evenly over all; 0: every one


@dataclass(frozen=True)
class ConvertOptions:
    """`sketchforge convert`: shards as data sets that others read, or their strokes in other formats."""

    shards: str | Path
    to: str  # parquet | imagefolder | pix2pix | controlnet (pairs); svg | ndjson | stroke3 (strokes)
    out: Path  # the file or folder to write
    hand: tuple[str, ...] = ()  # whose drawings; (): all
    per_image: int | None = None  # pairs: sketches of each image, chosen by its key; None: all
    push: str | None = None  # pairs: the data set on Hugging Face's Hub to upload the folder to, OWNER/NAME
    overwrite: bool = False
