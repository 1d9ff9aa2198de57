"""Many submissions at once: worker processes of one machine, or of many with Dask."""
