"""``bench report``: records as one HTML file, whose tables carry the meaning and whose charts add to it."""
