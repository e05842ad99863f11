;; Gives the host a place to write to that is not in its memory.
;; allocator: forged
