;; Never gets as far as being called.
(func $for_ever (loop $for_ever (br $for_ever)))
(start $for_ever)
