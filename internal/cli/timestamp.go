package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timestamp reads a point in time as people write it (a duration before now, an RFC 3339 date or
// the beginning of one, in local time unless it has a zone, seconds since 1970) into the API's
// seconds and nanoseconds since 1970.
func timestamp(s string, now time.Time) (string, error) {
	if d, err := time.ParseDuration(s); s != "0" && err == nil {
		return strconv.FormatInt(now.Add(-d).Unix(), 10), nil
	}
	location, zone := time.FixedZone(now.Zone()), ""
	if strings.ContainsAny(s, "zZ+") || strings.Count(s, "-") == 3 {
		location, zone = time.UTC, "Z07:00"
	}
	colons := strings.Count(s, ":")
	if zone != "" && !strings.ContainsAny(s, "zZ") && colons > 0 {
		colons-- // the zone's own
	}
	layout := "2006-01-02"
	switch {
	case strings.Contains(s, "."):
		layout += "T15:04:05.999999999"
	case strings.Contains(s, "T") && colons == 0:
		layout += "T15"
	case strings.Contains(s, "T") && colons == 1:
		layout += "T15:04"
	case strings.Contains(s, "T"):
		layout += "T15:04:05"
	}
	at, err := time.ParseInLocation(layout+zone, s, location)
	if err == nil {
		return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond()), nil
	}
	if strings.Contains(s, "-") {
		return "", err // meant as a date
	}
	seconds, nanos, has := strings.Cut(s, ".")
	_, err = strconv.ParseInt(seconds, 10, 64)
	if err == nil && has {
		_, err = strconv.ParseInt(nanos, 10, 64)
	}
	if err != nil {
		return "", fmt.Errorf("failed to parse value as time or duration: %q", s)
	}
	return s, nil
}
