"""One folder per system. Found by name; nothing imports from here."""
