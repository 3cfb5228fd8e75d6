"""All that a connector may import, besides the values in `postroad.records` and `postroad.errors`."""
