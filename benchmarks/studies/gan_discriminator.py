"""Whether the discriminator wins: how it tells images held out from those refined of their sketches.

    python benchmarks/studies/gan_discriminator.py --work DIR --row portraits-64-gan-0 [--row …]

DIR is that of ae_results.py, in which the rows were trained; their shards and the trainings' states have to be there.
Told are, of images held out, the discriminator's mean logit of real ones and of what the generator makes of their own styles and
sketches, with the noise of training; how many of each are on their side of 0; and the hinge (2: it cannot tell, 0: it wins). One thread.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch  # noqa: E402

from benchmarks.studies.ae_results import parse_trained_rows  # noqa: E402
from benchmarks.studies.diffsketching_rows import read_held_out  # noqa: E402
from sketchforge.checkpoints.encoder import load_encoder  # noqa: E402
from sketchforge.checkpoints.synthesizer import read_model  # noqa: E402
from sketchforge.losses.adversarial import hinge_discriminator  # noqa: E402
from trainers.gan.recipe import FEATURES, GanRecipe  # noqa: E402
from trainers.gan.step import GanTrainer  # noqa: E402

COUNT, BATCH = 121, 11  # images held out


def open_trainer(run: Path) -> GanTrainer:
    """The training as its state has it."""
    state = torch.load(run / "state.pt", weights_only=True, map_location="cpu")
    settings = json.loads(state["identity"])["recipe"]
    recipe = GanRecipe(steps=state["step"], **settings | {"betas": tuple(settings["betas"])})
    autoencoder = read_model(run / "model.safetensors").autoencoder
    encoder = load_encoder("builtin") if recipe.discriminator == FEATURES or recipe.perceptual else None
    trainer = GanTrainer(recipe, autoencoder, encoder, seed=0, device=torch.device("cpu"))
    for name, part in trainer.stateful().items():
        part.load_state_dict(state["parts"][name])
    return trainer


@torch.no_grad()
def judge(trainer: GanTrainer, images: torch.Tensor, sketches: torch.Tensor) -> dict[str, float]:
    """The figures, of images (N,3,S,S) and their sketches (N,1,S,S)."""
    discriminator = trainer.networks.discriminator.eval()
    trainer.networks.refiner.eval()
    logits: dict[str, list[torch.Tensor]] = {"real": [], "made": []}
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        batch = {"image": images[rows], "sketch": sketches[rows]}
        batch["position"] = torch.arange(start, start + len(batch["image"]))
        logits["real"].append(discriminator(batch["image"]).float())
        logits["made"].append(discriminator(trainer._refine(batch)).float())
    real, made = (torch.cat(parts) for parts in logits.values())
    means = [each.flatten(1).mean(1) for each in (real, made)]
    return {
        "mean logit, real": means[0].mean().item(),
        "mean logit, made": means[1].mean().item(),
        "real above 0": (means[0] > 0).float().mean().item(),
        "made below 0": (means[1] < 0).float().mean().item(),
        "hinge": hinge_discriminator(real, made).item(),
    }


def main() -> None:
    asked = parse_trained_rows(__doc__ or "")
    torch.set_num_threads(1)
    for row in asked.row:
        images, sketches, _ = read_held_out(asked.work / row.data, row.size, COUNT)
        figures = judge(open_trainer(asked.work / "runs" / row.name), images, sketches)
        print(row.name, {name: round(value, 3) for name, value in figures.items()}, flush=True)


if __name__ == "__main__":
    main()
