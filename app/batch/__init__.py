"""Many pictures: what becomes which file, in what order, and what has been done; the window's queue of them."""
