"""What the tables share: kept cells, features, reports, figures, measures."""
