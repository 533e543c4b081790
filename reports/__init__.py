"""What people read: figures, tables, page, Markdown and terminal, all fed from one results file."""
