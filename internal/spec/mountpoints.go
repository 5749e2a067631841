package spec

import "strings"

// OwnFiles are the paths, without a leading slash, where a container's root gets an empty file or
// directory for Hull's own sake: they are no change that the container made.
func OwnFiles() map[string]bool {
	out := map[string]bool{
		".dockerenv": true, "dev/console": true, "etc/hostname": true, "etc/hosts": true, "etc/resolv.conf": true,
		strings.TrimPrefix(InitPath, "/"): true,
	}
	for _, m := range defaultMounts() {
		out[strings.TrimPrefix(m.Destination, "/")] = true
	}
	return out
}
