"""Which of the 478 points is what (MediaPipe's topology; left and right as seen in the picture)."""

from __future__ import annotations

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Outline of the face, a closed ring."""

UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""Edges of the mouth opening from corner to corner; entry i of one faces entry i of the other."""
OPENING = UPPER_LIP + LOWER_LIP[-2:0:-1]
"""Both edges, a closed ring."""

MOUTH_CORNERS = (61, 291)
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)

CHIN = (152, 148, 377, 175, 171, 396, 199)
"""Points that go with the jaw bone and hardly with the lips."""

# Margins of the lids from corner to corner; entry i of upper faces entry i of lower.
LEFT_UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)
LEFT_LOWER_LID = (33, 7, 163, 144, 145, 153, 154, 155, 133)
RIGHT_UPPER_LID = (362, 398, 384, 385, 386, 387, 388, 466, 263)
RIGHT_LOWER_LID = (362, 382, 381, 380, 374, 373, 390, 249, 263)

# The next ring outward, facing the inner entries of the margins above.
LEFT_UPPER_FOLD = (247, 30, 29, 27, 28, 56, 190)
LEFT_LOWER_FOLD = (25, 110, 24, 23, 22, 26, 112)
RIGHT_UPPER_FOLD = (414, 286, 258, 257, 259, 260, 467)
RIGHT_LOWER_FOLD = (341, 256, 252, 253, 254, 339, 255)

CHEEKS = (50, 205, 187, 117, 280, 425, 411, 346)

LEFT_IRIS = (468, 469, 470, 471, 472)
RIGHT_IRIS = (473, 474, 475, 476, 477)
"""Centre, then four points of the rim."""

SKIN_POINTS = 468
"""The first 468 points lie on the skin; the rest are the irises."""
