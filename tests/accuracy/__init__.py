"""The accuracy of elementwise rules, against mpmath: grids of hard points, and what is measured."""
