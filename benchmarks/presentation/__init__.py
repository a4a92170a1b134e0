"""What people see of a table's run: Markdown tables beside the paper's figures, and drawings."""
