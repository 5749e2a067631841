package cli

import (
	"context"
	"fmt"
	"net/url"
)

// systemFsck prints the differences between store and disk; exit status 1 if any is left.
func (a *App) systemFsck(ctx context.Context, args []string) error {
	o := newOptions()
	repair := o.flag("repair", 0)
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return misused("system fsck takes no arguments")
	}
	q := url.Values{}
	if *repair {
		q.Set("repair", "1")
	}
	var answer struct {
		Problems []struct {
			Object, Detail string
			Repaired       bool
		}
	}
	if err := a.client.get(ctx, call{method: "POST", path: "/hull/check", query: q}, &answer); err != nil {
		return err
	}
	left := 0
	for _, p := range answer.Problems {
		state := ""
		if p.Repaired {
			state = " (repaired)"
		} else {
			left++
		}
		fmt.Fprintf(a.Out, "%s: %s%s\n", clean(p.Object), clean(p.Detail), state)
	}
	if left > 0 {
		return exitError(1)
	}
	fmt.Fprintln(a.Out, "The store is whole.")
	return nil
}
