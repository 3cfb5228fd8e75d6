"""The stages of a record's way, and the runs that call them."""
