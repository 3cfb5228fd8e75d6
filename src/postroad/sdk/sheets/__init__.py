"""Tables as people keep them in files: declared columns, their cells as Arrow, workbooks read with care."""
