"""The figures that the paper prints in its Tables 1 to 4, and the row that a run corresponds to.

They are of images of 1024 pixels, CelebA-HQ and WikiArt, and five days of training (section 5). Beside the
figures of a run they give the order of the variants, not the size that a figure ought to have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SELF_SUPERVISED = ("style_triplet", "style_class", "content_triplet", "content_class")  # Eqs. 7, 8, 10, 9
ABSENT = ""  # not printed

# FID and SR on CelebA-HQ, FID and SR on WikiArt.
TABLE_1 = {
    "Pix2pixHD": ("62.7", ".910", "172.6", ".842"),
    "MUNIT": ("56.8", ".911", "202.8", ".856"),
    "SPADE": ("31.5", ".941", ABSENT, ABSENT),
    "CoCosNet": ("14.3", ".967", ABSENT, ABSENT),
    "SketchyGAN": (ABSENT, ABSENT, "96.3", ".843"),
    "RBNet": ("47.1", ABSENT, ABSENT, ABSENT),
    "Sketch2art": ("28.7", ".958", "84.2", ".897"),
    "AE": ("25.9", ".959", "74.2", ".902"),
    "AE + GAN": ("13.6", ".972", "32.6", ".924"),
}
# FID and LPIPS × 100 on CelebA-HQ.
TABLE_2 = {
    "vanilla": ("44.3", "18.7"),
    "vanilla + L_c_tri": ("34.8", "15.8"),
    "vanilla + L_s_tri": ("35.7", "16.3"),
    "vanilla + L_s_cls": ("36.4", "16.4"),
    "vanilla + L_s_cls + L_c_cls": ("34.7", "15.2"),
    "all": ("25.9", "11.7"),
}
# LPIPS × 100 and Skt-Rec on WikiArt.
TABLE_3 = {"AE": ("24.15", ".13"), "DMI": ("20.7", ".091"), "feature DMI": ("18.6", ".075")}
# LPIPS × 100 and Sty-Rec on WikiArt.
TABLE_4 = {
    "AE": ("24.15", ".871"),
    "AdaIN": ("22.3", ".921"),
    "addition": ("23.1", ".897"),
    "multiplication": ("21.6", ".923"),
}

_LOSSES = {
    frozenset(): "vanilla",
    frozenset({"content_triplet"}): "vanilla + L_c_tri",
    frozenset({"style_triplet"}): "vanilla + L_s_tri",
    frozenset({"style_class"}): "vanilla + L_s_cls",
    frozenset({"style_class", "content_class"}): "vanilla + L_s_cls + L_c_cls",
    frozenset(SELF_SUPERVISED): "all",
}
_DMI = {"none": "AE", "sketch": "DMI", "feature": "feature DMI"}
_STYLE = {"none": "AE", "adain": "AdaIN", "add": "addition", "multiply": "multiplication"}


def in_table_1(command: str, recipe: Mapping[str, Any]) -> str | None:
    """The row of a run, by its command and recipe; None: the paper has no such row.

    An auto-encoder that joins sketch and style as another system does stands beside that system, which it is not.
    """
    if command == "gan-train":
        return "AE + GAN"
    if command != "ae-train":
        return None
    if recipe.get("dmi") == "spade":
        return "SPADE"
    if (recipe.get("dmi"), recipe.get("style")) == ("sketch", "adain"):
        return "Sketch2art"
    return "AE" if in_table_2(recipe) == "all" else None


def in_table_2(recipe: Mapping[str, Any]) -> str | None:
    """The row of the auto-encoder's losses; None: the paper has no such row.

    Only the paper's final model has rows, by multiplication, and ours, by AdaIN: other DMI and other ways of joining
    style are in Tables 3 and 4.
    """
    if recipe.get("dmi") != "feature" or recipe.get("style") not in ("multiply", "adain"):
        return None
    return _LOSSES.get(frozenset(name for name in SELF_SUPERVISED if recipe.get(name)))


def in_table_3(recipe: Mapping[str, Any]) -> str | None:
    return _DMI.get(str(recipe.get("dmi")))


def in_table_4(recipe: Mapping[str, Any]) -> str | None:
    return _STYLE.get(str(recipe.get("style")))


def losses_of(recipe: Mapping[str, Any]) -> str:
    """The self-supervised losses that are on, in the paper's names."""
    names = {"style_triplet": "L_s_tri", "style_class": "L_s_cls",
             "content_triplet": "L_c_tri", "content_class": "L_c_cls"}  # fmt: skip
    on = [short for name, short in names.items() if recipe.get(name)]
    return "all" if len(on) == len(names) else " + ".join(on) or "none"
