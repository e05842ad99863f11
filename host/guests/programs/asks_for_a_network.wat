;; Imports what no engine gets.
;; beside:
(import "example:net/sockets@1.0.0" (instance (export "connect" (func (param "to" string)))))
(core instance $beside)
