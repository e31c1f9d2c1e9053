"""The few numbers that every stage shares (DESIGN: the contract)."""

FRAME_RATE_HZ = 40
"""Latents and pictures a second."""

SAMPLE_RATE_HZ = 16_000
"""Rate of the sound that the networks hear, mono."""

SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FRAME_RATE_HZ

SIZE_PX = 512
"""Side of the square face picture that the decoder draws."""

FACE_HEIGHT_PX = 233
"""Height of the face (forehead top to chin) in that picture."""

POINTS = 478
"""Face points in MediaPipe's topology, iris included."""

MATTE_PX = 256
"""Side of the square in which the matting network looks at a portrait."""
