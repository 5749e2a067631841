package userdb

import (
	"errors"
	"strconv"
	"strings"
)

const (
	maxID     = 1<<32 - 2 // 2^32-1 is -1 to setuid(2): leave as it is
	maxSpecID = 1<<31 - 1
)

// isNumber says whether s is digits alone, and so a number and never a name.
func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parseID reads an id of at most most. No sign, no blank, no other base.
func parseID(s string, most uint32) (uint32, error) {
	if !isNumber(s) {
		return 0, errors.New(strconv.Quote(shorten(s)) + " is not a number")
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > uint64(most) {
		return 0, errors.New(shorten(s) + " is greater than " + strconv.FormatUint(uint64(most), 10))
	}
	return uint32(n), nil
}

func shorten(s string) string {
	if len(s) <= 64 {
		return s
	}
	return s[:64] + "..."
}

// NumericUser is a user given by numbers.
type NumericUser struct {
	UID    uint32
	GID    uint32
	HasGID bool // there was a group; without, the process keeps the one that it would have had
}

// ParseNumericUser reads the argument of `keel exec --user`: "uid" or "uid:gid", digits alone. What is anything else
// is an error, never part of an id: "1:", ":1", "+1", " 1", "a:1", "1:a", "4294967295" (CVE-2026-30892).
func ParseNumericUser(s string) (NumericUser, error) {
	user, group, has := strings.Cut(s, ":")
	uid, err := parseID(user, maxID)
	if err != nil {
		return NumericUser{}, errors.New("user " + strconv.Quote(shorten(s)) + ": the user " + err.Error())
	}
	u := NumericUser{UID: uid, HasGID: has}
	if has {
		if u.GID, err = parseID(group, maxID); err != nil {
			return NumericUser{}, errors.New("user " + strconv.Quote(shorten(s)) + ": the group " + err.Error())
		}
	}
	return u, nil
}
