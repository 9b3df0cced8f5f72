"""Denoising: pictures, methods, networks and the inference loop. No Qt."""

__version__ = "0.1.0"
