;; Was built for a contract that is not there yet.
;; version: 3.0.0
