"""What travels over a broker: the envelope of a message, and the line that carries it."""
