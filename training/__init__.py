"""Self-supervised training from noisy pictures. No Qt."""
