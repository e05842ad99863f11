;; Wants a memory that threads share.
(memory 1 1 shared)
