"""Vehicles on wheels."""

from __future__ import annotations

import math

from .sketch import NONE, PAPER, Sketch


def wheel(
    s: Sketch, x: float, y: float, r: float, spokes: int = 0, rings: tuple[float, ...] = (0.62,)
) -> None:
    """Wheel with a tyre, inner rings and optional spokes."""
    s.oval(x, y, r, w=1.4)
    for ring in rings:
        s.oval(x, y, r * ring, w=0.9)
    for k in range(spokes):
        a = 2 * math.pi * k / spokes + 0.2
        s.lines(
            f"{x + r * 0.14 * math.cos(a)},{y + r * 0.14 * math.sin(a)} "
            f"{x + r * rings[-1] * math.cos(a)},{y + r * rings[-1] * math.sin(a)}",
            0.5,
        )
    s.oval(x, y, r * 0.14, w=0.9)


def car(s: Sketch) -> None:
    """Small round-backed car of the fifties, with luggage on the roof."""
    s.curve("34,23 35,14! 52,13 64,14! 65,23! z", 1.1)
    s.lines("40,13.4 40,23", 0.8)
    s.lines("59,13.4 59,23", 0.8)
    s.curve("46,13 47,10.4 52,10.4 53,13", 0.9)
    s.lines("66,23 67,17 76,17.6 77,25 z", 1)
    s.lines("28,24 80,26", 1)
    s.curve(
        "5,66 5,58 10,53 20,50 28,47 33,36 41,28 55,26 70,28 82,37 90,49 95,58 96,66! 94,70 82,71 "
        "20,71 7,70 z",
        1.4,
    )
    s.curve("33,47 37,38 43,33 53,32! 53,48! z", 1.1)
    s.curve("57,32 67,33.4 76,39 81,48! 57,48! z", 1.1)
    s.lines("40,46 46,35", 0.5)
    s.lines("43,46 48,37", 0.5)
    s.lines("63,46 68,36", 0.5)
    s.lines("66,46 71,38", 0.5)
    s.curve("31,49 40,51 60,51 88,50", 0.8)
    s.curve("55,30 55,50 56,68", 0.9)
    s.curve("31,50 31,60 36,68", 0.9)
    s.curve("58,54 62,53.4 63,55 58,55.4 z", 0.8)
    s.curve("10,57 20,55 31,56", 0.6)
    s.curve("57,60 76,60", 0.7)
    s.curve("36,60 54,60", 0.7)
    s.oval(11.4, 57.6, 3, 3.8, -15, w=1.1)
    s.oval(11, 57.6, 1.7, 2.4, -15, w=0.6)
    s.curve("92,54 95,56 95.4,60 93,61 z", 0.9)
    s.curve("2,67 3,64.6 12,65.6! 12,69! 3,69.6 z", 1.1)
    s.curve("97.6,67 97,64.6 88,65.6! 88,69! 97,69.6 z", 1.1)
    s.curve("36,44 34,40 30.6,41 32,45 z", 0.8)
    for x in (25, 76):
        s.curve(f"{x - 14},71 {x - 12},61 {x - 5},56.4 {x + 5},56.4 {x + 12},61 {x + 14},71! z", 1.2)
        wheel(s, x, 70.6, 10.6, 0, (0.66, 0.56))
        for k in range(8):
            a = math.radians(k * 45)
            s.dot(x + 4 * math.cos(a), 70.6 + 4 * math.sin(a), 0.5)
        s.oval(x, 70.6, 3, arc=(190, 300), w=0.6)
    s.curve("2,81.4 20,82 60,81.6 98,82", 1)
    s.hatch("12,82 38,82 34,85 16,85 z", 0, 1.2, 0.5)
    s.hatch("62,82 90,82 84,85 66,85 z", 0, 1.2, 0.5)
    for x, y in ((8, 89), (30, 91), (54, 90), (76, 92), (90, 88)):
        s.curve(f"{x - 5},{y} {x + 5},{y + 0.4}", 0.7)


def bicycle(s: Sketch) -> None:
    """Town bicycle with a basket of flowers."""
    for x in (23, 77):
        s.oval(x, 66, 20.6, w=1.3, fill=NONE)
        s.oval(x, 66, 18.4, w=0.7, fill=NONE)
        for k in range(18):
            a = math.radians(k * 20 + 6)
            # Spokes leave the hub at a tangent and cross.
            s.lines(
                f"{x + 2 * math.cos(a + 0.8)},{66 + 2 * math.sin(a + 0.8)} "
                f"{x + 18.4 * math.cos(a)},{66 + 18.4 * math.sin(a)}",
                0.45,
            )
        s.oval(x, 66, 2, w=1)
    s.curve("0.6,64 5,50 16,42.6 30,42.6 36,45.4", 1.1)
    s.curve("52,60 55,50 66,43 80,43 88,46", 1.1)
    for a, b in (
        ("23,66", "47,68"),
        ("23,66", "40,36"),
        ("47,68", "39,31"),
        ("47,68", "66,40"),
        ("40,37", "65,33"),
    ):
        (ax, ay), (bx, by) = (map(float, t.split(",")) for t in (a, b))
        n = math.hypot(bx - ax, by - ay)
        dx, dy = -(by - ay) / n * 0.9, (bx - ax) / n * 0.9
        s.lines(f"{ax + dx},{ay + dy} {bx + dx},{by + dy} {bx - dx},{by - dy} {ax - dx},{ay - dy} z", 0.8)
    s.lines("62.6,24 66.6,43 75.6,66 78.4,66 68.6,42 65,23.6 z", 0.9)
    s.curve("64,25 60,22.4 52,22 46,25", 1.6)
    s.curve("64,23.6 61,20.6 53,20 45.6,23", 0.9)
    s.curve("50,21 45,23 43.4,26 46.6,27 52,23.6 z", 0.9)
    s.oval(67.6, 27, 2.6, 2.2, w=1)
    s.curve("27,30 36,28.4 46,29 49,31 43,34 37,35.6 29,34.6 26,32 z", 1.2)
    s.curve("29,32.6 38,31.4 46,31", 0.5)
    s.curve("31,35 32,37 34,35.4 36,37.4 38,35.4", 0.8)
    s.oval(47, 68, 5.6, w=1.1)
    s.oval(47, 68, 2, w=0.8)
    for k in range(12):
        a = math.radians(k * 30)
        s.lines(
            f"{47 + 5.6 * math.cos(a)},{68 + 5.6 * math.sin(a)} {47 + 6.6 * math.cos(a)},{68 + 6.6 * math.sin(a)}",
            0.7,
        )
    s.curve("47,62.4 35,63.6 23,64", 0.7)
    s.curve("47,73.6 35,70 23,68", 0.7)
    s.lines("47,68 54,77.6", 1.2)
    s.lines("51,77.6 58,77.6 58,79.4 51,79.4 z", 1)
    s.lines("47,68 40,59", 1.1)
    s.lines("37,57.6 43.6,57.6 43.6,59.2 37,59.2 z", 0.9)
    s.lines("8,45.6 38,43 38,44.4 8,47.2 z", 0.9)
    s.lines("12,47 22,65", 0.8)
    # Basket with flowers.
    for x, y in ((72, 17), (79, 13), (87, 16), (75.6, 22), (83.6, 21), (91, 22)):
        for k in range(6):
            a = math.radians(k * 60 + x * 7)
            s.oval(x + 2.3 * math.cos(a), y + 2.3 * math.sin(a), 1.6, w=0.8)
        s.oval(x, y, 1.4, w=0.8)
    s.leaf(70, 24, 215, 8, 4, 0)
    s.leaf(93, 24, -20, 7, 3.6, 0)
    s.lines("68,25 95,25 91,41 72,41 z", 1.2)
    for k in range(1, 4):
        s.lines(f"{68 + k},{25 + k * 4} {95 - k},{25 + k * 4}", 0.7)
    for k in range(1, 8):
        s.lines(f"{68 + k * 3.4},25 {72 + k * 2.4},41", 0.6)
    s.lines("67,24 96,24 96,26.2 67,26.2 z", 1)
    s.curve("2,87.6 30,87.2 70,87.6 98,87", 1)
    for x in (6, 40, 60, 94):
        s.curve(f"{x},87 {x - 1.4},82.6", 0.6)
        s.curve(f"{x + 1},87 {x + 1.6},82", 0.6)
    for x, y in ((14, 92), (50, 91.6), (80, 92.6)):
        s.curve(f"{x - 6},{y} {x + 6},{y + 0.3}", 0.6)


def locomotive(s: Sketch) -> None:
    """Steam locomotive with a plume of smoke."""
    for byte_source in (
        "26,15 22,10 26,4 33,5 36,11 32,16 z",
        "36,12 35,5 42,1 50,3 51,10 45,14 z",
        "50,11 51,4 59,2 67,5 67,12 59,15 z",
        "66,11 70,5 78,5 84,9 82,15 74,16 z",
    ):
        s.bumps(byte_source, 4.4, 1.6, 0.9)
    s.curve("40,9 43,6.4 46,8.4", 0.6)
    s.curve("56,9 60,6.4 63,9", 0.6)
    s.curve("73,11 77,8.6 79,11", 0.6)
    s.lines("23,20 27,20 28.6,36 21.4,36 z", 1.2)
    s.curve("20,16 25,17.4 30,16! 28.6,21! 25,22 21.4,21! z", 1.2)
    s.curve("38,36 38,31 42,27.6 46,31 46,36", 1.2, PAPER)
    s.curve("51,36 51,32.6 54,30 57,32.6 57,36", 1.1, PAPER)
    s.lines("42,27.6 42,25", 0.9)
    s.lines("14,36 62,36 62,58 14,58 z", 1.3)
    s.curve("14,36 11,40 10,47 11,54 14,58", 1.3, PAPER)
    s.curve("14,36 15.6,47 14,58", 0.8)
    s.curve("14,40 35,39.4 62,40", 0.5)
    for x in (24, 36, 49):
        s.curve(f"{x},36 {x + 1.4},47 {x},58", 0.8)
        s.curve(f"{x + 2},36 {x + 3.4},47 {x + 2},58", 0.6)
    s.lines("17,44 62,44", 0.9)
    for k in range(9):
        s.dot(19 + k * 5.2, 55.6, 0.45)
    s.lines("9,33 16,33 15,37 10,37 z", 1)
    s.oval(11.4, 31, 3, w=1.1)
    s.oval(11.4, 31, 1.6, w=0.6)
    s.lines("62,24 90,24 90,62 62,62 z", 1.3)
    s.curve("58,24 66,20.6 76,19.4 86,20.6 95,24! 95,26! 58,26! z", 1.3)
    s.curve("66,40 66,31! 69,29.4 73,29.4 75,31! 75,40! z", 1.1)
    s.curve("79,40 79,31! 81,29.4 85,29.4 87,31! 87,40! z", 1.1)
    s.lines("68,39 73,31", 0.5)
    s.lines("81,39 85,31", 0.5)
    s.lines("64.4,44 87.6,44 87.6,57 64.4,57 z", 0.7)
    s.lines("67,46 85,46 85,55 67,55 z", 0.5)
    s.oval(76, 50.5, 3.4, w=0.8)
    s.lines("8,58 94,58 94,63 8,63 z", 1.2)
    for k in range(14):
        s.dot(12 + k * 6, 60.6, 0.5)
    s.lines("8,62 1,82 14,82 16,63 z", 1.2)
    for k in range(1, 5):
        s.lines(f"{8 + k * 1.6},63 {1 + k * 2.6},82", 0.6)
    s.lines("16,64 30,64 30,73 16,73 z", 1.1)
    s.hatch("17,65 29,65 29,72 17,72 z", 90, 1.6, 0.45)
    for x, r in ((23, 7), (44, 11), (69, 11), (88, 7)):
        wheel(s, x, 84 - r, r, 10 if r > 8 else 8, (0.8,))
    s.curve("24,69 44,78 70,78", 1.6)
    s.curve("24,71.6 44,80.4 70,80.4", 0.9)
    s.oval(44, 79, 1.5, w=0.9)
    s.oval(70, 79, 1.5, w=0.9)
    s.lines("1,85 99,85", 1.3)
    s.lines("1,87 99,87", 0.8)
    for k in range(11):
        s.lines(f"{2 + k * 9},87 {7 + k * 9},87 {6 + k * 9},90.6 {1 + k * 9},90.6 z", 0.8)
    for k in range(16):
        s.oval(3 + k * 6.2, 94 + (k * 5 % 3), 1.5 + (k % 3) * 0.4, 0.9, w=0.6)


SUBJECTS = {
    "car": car,
    "bicycle": bicycle,
    "locomotive": locomotive,
}
