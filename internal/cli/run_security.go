package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// maxProfile bounds a seccomp profile, in bytes.
const maxProfile = 4 << 20

// securityOpts reads the files that --security-opt seccomp=FILE names, which are hull's, not the
// daemon's. open says that systempaths=unconfined, which is no option of the API, is among them.
func securityOpts(values []string) (opts []string, open bool, err error) {
	for _, v := range values {
		key, val, ok := strings.Cut(v, "=")
		if !ok && key != "no-new-privileges" {
			key, val, ok = strings.Cut(v, ":")
		}
		if (!ok || val == "") && key != "no-new-privileges" {
			return nil, false, fmt.Errorf("Invalid --security-opt: %q", v)
		}
		if v == "systempaths=unconfined" {
			open = true
			opts = never(opts)
			continue
		}
		if key == "seccomp" && val != "builtin" && val != "unconfined" {
			raw, err := readBounded(val, maxProfile)
			if err != nil {
				return nil, false, fmt.Errorf("opening seccomp profile (%s) failed: %w", val, err)
			}
			var b bytes.Buffer
			if err := json.Compact(&b, raw); err != nil {
				return nil, false, fmt.Errorf("compacting json for seccomp profile (%s) failed: %w", val, err)
			}
			v = "seccomp=" + b.String()
		}
		opts = append(opts, v)
	}
	return opts, open, nil
}

// capabilities are names in the API's form, in order, each once: CAP_NET_ADMIN, ALL.
func capabilities(names []string) []string {
	var all []string
	for _, n := range names {
		n = strings.ToUpper(n)
		if n != "ALL" && !strings.HasPrefix(n, "CAP_") {
			n = "CAP_" + n
		}
		all = append(all, n)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
