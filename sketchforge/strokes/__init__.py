"""Strokes: what a sketch is made of. Traced once per image, then chosen, moved and drawn by hands.

consensus   grey sketches -> one darkness map
tracing     darkness -> strokes: ordered points
foreground  where the subject is, by colour
hands       ten named ways to draw, and the file that holds their parameters
tone        where the picture is dark, and the lines that lay it on
choosing    how much each stroke matters, and the strokes that a hand takes
moving      how a hand places, bends and straightens them
painting    strokes -> lines of ink -> a sketch, by the hand's pen
stored      strokes and lines <-> KEY.strokes.json
redraw      stored strokes -> another sketch each time
"""
