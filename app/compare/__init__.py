"""The view in which results are compared with the noisy picture and with one another; `view` is its door."""
