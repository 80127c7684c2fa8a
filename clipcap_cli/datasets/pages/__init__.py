"""What pages of pictures share: one HTML file that needs nothing else, small copies of pictures, a theme, and a list that is searched and gone through by keys.

`evaluation.report` and `datasets.preview` are made of this.
"""
