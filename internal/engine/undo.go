package engine

// undo is what has to be taken back, newest first, when an operation of several steps fails.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }

// unless runs it when err is set.
func (u *undo) unless(err *error) {
	if *err == nil {
		return
	}
	for i := len(*u) - 1; i >= 0; i-- {
		(*u)[i]()
	}
}
