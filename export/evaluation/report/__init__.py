"""Values as claims, groups, plots and pages."""
