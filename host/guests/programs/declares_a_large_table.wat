;; Wants a table of 10 million elements.
(table 10000000 funcref)
