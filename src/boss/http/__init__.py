"""The HTTP edge: the resource tree over the dispatcher. It knows no SQL."""
