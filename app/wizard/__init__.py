"""Train on my folder: pictures, method, training, result."""
