"""From records, cards and plans to text for the terminal and pages in Markdown."""
