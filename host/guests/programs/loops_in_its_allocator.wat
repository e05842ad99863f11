;; Never gives the host a place to write to.
;; allocator: loops
