;; Wants 128 MiB before it begins.
;; memory: 2048
