"""What every package of the export may use: whole files, models by folder or hub id, statistics, encoded texts."""
