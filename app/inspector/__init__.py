"""The inspector: what is measured of the picture on the screen, and the pages that show it."""
