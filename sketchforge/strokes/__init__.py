"""Strokes: what a sketch is made of. Traced once per image, then chosen, moved and drawn by hands.

consensus   grey sketches -> one darkness map
tracing     darkness -> strokes: ordered points
salience    how much each stroke matters
hands       ten named ways to draw, and the file that holds their parameters
choosing    the strokes that a hand takes
moving      how a hand places, bends and straightens them
painting    strokes -> lines of ink -> a sketch, by the hand's pen
stored      strokes and lines <-> KEY.strokes.json
redraw      stored strokes -> another sketch each time
"""
