package build

import (
	"errors"
	"slices"
)

// undo is what is to be done when something that was made is not wanted any more, the last first.
type undo struct{ steps []func() error }

func (u *undo) add(f func() error) { u.steps = append(u.steps, f) }

// run does all of it, and returns what went wrong.
func (u *undo) run() error {
	var errs []error
	for _, f := range slices.Backward(u.steps) {
		errs = append(errs, f())
	}
	u.steps = nil
	return errors.Join(errs...)
}
