;; Wants more memories than a slot has.
(memory 1)
(memory 1)
(memory 1)
(memory 1)
(memory 1)
(memory 1)
(memory 1)
(memory 1)
