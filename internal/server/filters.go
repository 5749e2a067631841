package server

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/image"
)

// filters is the decoded "filters" of a query: values by key.
type filters map[string][]string

// filters reads the query's filters in both of Docker's encodings, {"k":{"v":true}} and the
// older {"k":["v"]}, and refuses keys that are not in known.
func (r *request) filters(known ...string) (filters, error) {
	raw := r.FormValue("filters")
	f := filters{}
	if raw == "" {
		return f, nil
	}
	var set map[string]map[string]bool
	if err := json.Unmarshal([]byte(raw), &set); err == nil {
		for k, values := range set {
			for v := range values {
				f[k] = append(f[k], v)
			}
			slices.Sort(f[k])
		}
	} else if err := json.Unmarshal([]byte(raw), (*map[string][]string)(&f)); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filters: " + err.Error())
	}
	for k := range f {
		if !slices.Contains(known, k) {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter '" + k + "'")
		}
	}
	return f, nil
}

// flag is a boolean filter: nil when it is not set.
func (f filters) flag(key string) (*bool, error) {
	values := f[key]
	if len(values) == 0 {
		return nil, nil
	}
	yes := slices.ContainsFunc(values, func(v string) bool { return v == "1" || v == "true" })
	no := slices.ContainsFunc(values, func(v string) bool { return v == "0" || v == "false" })
	if yes == no {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter '" + key + "=" + values[0] + "'")
	}
	return &yes, nil
}

// one is a filter that may be given once.
func (f filters) one(key string) (string, error) {
	switch len(f[key]) {
	case 0:
		return "", nil
	case 1:
		return f[key][0], nil
	}
	return "", errdefs.ErrInvalidArgument.WithMessage("more than one " + key + " filter specified")
}

// imageFilter turns filters into the store's.
func (f filters) imageFilter(now time.Time) (out image.Filter, err error) {
	if out.Dangling, err = f.flag("dangling"); err != nil {
		return out, err
	}
	if out.Before, err = f.one("before"); err != nil {
		return out, err
	}
	if out.Since, err = f.one("since"); err != nil {
		return out, err
	}
	until, err := f.one("until")
	if err != nil {
		return out, err
	}
	if until != "" {
		if out.Until, err = image.ParseTime(until, now); err != nil {
			return out, err
		}
	}
	out.Labels, out.NotLabels, out.References = f["label"], f["label!"], f["reference"]
	return out, nil
}

// until is the time of the filter of that name, zero when it is not set.
func (f filters) until() (t time.Time, err error) {
	v, err := f.one("until")
	if err != nil || v == "" {
		return t, err
	}
	return image.ParseTime(v, time.Now())
}
