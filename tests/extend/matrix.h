MATRIX(same_frame, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
