package userdb

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	passwdFile = "etc/passwd"
	groupFile  = "etc/group"
	maxGroups  = 65536 // NGROUPS_MAX
)

// Passwd is an entry of /etc/passwd (passwd(5)).
type Passwd struct {
	Name string
	UID  uint32
	GID  uint32
	Home string // as it stands there: any bytes, perhaps empty; see [HomeFor]
}

// fields are the parts of an entry, in the line's memory; a comment and a line with fewer than least give none.
func fields(line []byte, least int) [][]byte {
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 || line[0] == '#' {
		return nil
	}
	if f := bytes.Split(line, []byte(":")); len(f) >= least {
		return f
	}
	return nil
}

// entry makes an entry of the fields of a line.
func entry(f [][]byte) (Passwd, error) {
	p := Passwd{Name: string(f[0])}
	var err error
	if p.UID, err = parseID(string(f[2]), maxID); err != nil {
		return p, err
	}
	if p.GID, err = parseID(string(f[3]), maxID); err != nil {
		return p, err
	}
	if len(f) > 5 {
		p.Home = string(f[5])
	}
	return p, nil
}

// LookupUID is the first entry of /etc/passwd with a uid. ok is false if there is none. An entry whose gid is no number
// is an error: without it the group would be root's.
func LookupUID(root int, uid uint32) (p Passwd, ok bool, err error) {
	f, err := openFile(root, passwdFile)
	if err != nil {
		return p, false, err
	}
	defer f.close()
	for {
		line, more, err := f.next()
		if err != nil || !more {
			return Passwd{}, false, err
		}
		parts := fields(line, 4)
		if parts == nil {
			continue
		}
		if id, err := parseID(string(parts[2]), maxID); err != nil || id != uid {
			continue
		}
		if p, err = entry(parts); err != nil {
			return Passwd{}, false, broken(err)
		}
		return p, true, nil
	}
}

func broken(err error) error {
	return fmt.Errorf("its line in /etc/passwd of the container is broken: %w", err)
}

// lookupName is the first entry of /etc/passwd with a name; a broken one is an error.
func lookupName(root int, name string) (Passwd, error) {
	f, err := openFile(root, passwdFile)
	if err != nil {
		return Passwd{}, err
	}
	defer f.close()
	for {
		line, more, err := f.next()
		if err != nil {
			return Passwd{}, err
		}
		if !more {
			return Passwd{}, errors.New("there is no such user in /etc/passwd of the container")
		}
		parts := fields(line, 1)
		if parts == nil || string(parts[0]) != name {
			continue
		}
		if len(parts) < 4 {
			return Passwd{}, errors.New("its line in /etc/passwd of the container has too few fields")
		}
		p, err := entry(parts)
		if err != nil {
			return Passwd{}, broken(err)
		}
		return p, nil
	}
}

// eachGroup calls f with the fields of each entry of /etc/group, until it says stop.
func eachGroup(root int, f func(parts [][]byte) (stop bool, err error)) error {
	g, err := openFile(root, groupFile)
	if err != nil {
		return err
	}
	defer g.close()
	for {
		line, more, err := g.next()
		if err != nil || !more {
			return err
		}
		if parts := fields(line, 1); parts != nil {
			if stop, err := f(parts); stop || err != nil {
				return err
			}
		}
	}
}

func groupID(parts [][]byte, most uint32) (uint32, error) {
	if len(parts) < 3 {
		return 0, fmt.Errorf("the line of group %q in /etc/group of the container has too few fields", shorten(string(parts[0])))
	}
	gid, err := parseID(string(parts[2]), most)
	if err != nil {
		return 0, fmt.Errorf("the line of group %q in /etc/group of the container is broken: %w", shorten(string(parts[0])), err)
	}
	return gid, nil
}

// lookupGroup is the gid of the first group with a name.
func lookupGroup(root int, name string) (gid uint32, err error) {
	found := false
	err = eachGroup(root, func(parts [][]byte) (bool, error) {
		if string(parts[0]) != name {
			return false, nil
		}
		found = true
		var err error
		gid, err = groupID(parts, maxSpecID)
		return true, err
	})
	if err == nil && !found {
		err = errors.New("there is no such group in /etc/group of the container")
	}
	return gid, err
}

// groupsOf are the gids of all groups that a user is a member of.
func groupsOf(root int, name string) (gids []uint32, err error) {
	err = eachGroup(root, func(parts [][]byte) (bool, error) {
		if len(parts) < 4 || !isMember(parts[3], name) {
			return false, nil
		}
		gid, err := groupID(parts, maxSpecID)
		if err != nil {
			return false, err
		}
		if gids = append(gids, gid); len(gids) > maxGroups {
			return false, fmt.Errorf("more than %d groups in /etc/group of the container, which the kernel does not take", maxGroups)
		}
		return false, nil
	})
	return gids, err
}

func isMember(list []byte, name string) bool {
	for m := range bytes.SplitSeq(list, []byte(",")) {
		if string(m) == name {
			return true
		}
	}
	return false
}

// HomeFor is the home directory of a uid: what HOME is if process.env has none. It is always one to use: "/" if there is
// no entry, or no directory in it, and with an error that says why if the file cannot be read or the directory is not an
// absolute path of printable characters. A line feed in it would add lines to files that are made from it
// (CVE-2022-4318).
func HomeFor(root int, uid uint32) (string, error) {
	p, ok, err := LookupUID(root, uid)
	switch {
	case err != nil:
		return "/", err
	case !ok || p.Home == "":
		return "/", nil
	case p.Home[0] != '/' || !printable(p.Home):
		return "/", errors.New("the home directory " + strconv.Quote(shorten(p.Home)) + " of uid " +
			strconv.FormatUint(uint64(uid), 10) + " is not an absolute path of printable characters")
	}
	return p.Home, nil
}

// printable says whether s has no control character (C0, C1, DEL), no line or paragraph separator and no invalid UTF-8.
func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool {
		return c < ' ' || 0x7f <= c && c <= 0x9f || c == 0x2028 || c == 0x2029
	}) < 0
}

// User is who a user spec means in a container.
type User struct {
	UID uint32
	GID uint32
	// Groups are the supplementary groups, sorted as in /etc/group, the primary one first: it belongs to them
	// (CVE-2022-36109).
	Groups []uint32
}

// LookupUserSpec reads what an image or an engine's user says, "user" or "user:group", each a name or a number, as
// Docker does: without a group it is that of the passwd entry, 0 if there is none, and the user's supplementary groups
// come from /etc/group; with a group they do not. An empty spec is uid 0.
//
// As in Docker, a number is at most 2147483647, though the kernel could do with more. Stricter than Docker, which
// takes them for uid 0 or guesses: ":group", "+1", "-0", names with blanks or control characters, entries whose ids
// are not numbers. No spec that Docker refuses is taken, and with sound files none means another user.
func LookupUserSpec(root int, spec string) (User, error) {
	u, err := lookupUserSpec(root, spec)
	if err != nil {
		return User{}, fmt.Errorf("user %q: %w", shorten(spec), err)
	}
	return u, nil
}

func lookupUserSpec(root int, spec string) (User, error) {
	name, group, _ := strings.Cut(spec, ":")
	if spec == "" {
		name = "0"
	}
	p, err := findUser(root, name, group == "") // Docker takes "1:" as "1"
	if err != nil {
		return User{}, err
	}
	u := User{UID: p.UID, GID: p.GID}
	if group != "" {
		if u.GID, err = findGroup(root, group); err != nil {
			return User{}, fmt.Errorf("group %q: %w", shorten(group), err)
		}
	}
	u.Groups = []uint32{u.GID}
	if group != "" || p.Name == "" {
		return u, nil
	}
	more, err := groupsOf(root, p.Name)
	if err != nil {
		return User{}, err
	}
	seen := map[uint32]bool{u.GID: true}
	for _, g := range more {
		if !seen[g] {
			u.Groups = append(u.Groups, g)
		}
		seen[g] = true
	}
	return u, nil
}

// findUser is the entry of a user. For a number there may be none, so the entry may have no name; with whole false, when
// a group is given, no file is read for a number.
func findUser(root int, user string, whole bool) (Passwd, error) {
	if !isNumber(user) {
		if err := checkName(user); err != nil {
			return Passwd{}, err
		}
		p, err := lookupName(root, user)
		if err != nil {
			return Passwd{}, err
		}
		return p, checkID(p)
	}
	uid, err := parseID(user, maxSpecID)
	if err != nil || !whole {
		return Passwd{UID: uid}, err
	}
	p, ok, err := LookupUID(root, uid)
	if err != nil || !ok {
		return Passwd{UID: uid}, err
	}
	return p, checkID(p)
}

func findGroup(root int, group string) (uint32, error) {
	if isNumber(group) {
		return parseID(group, maxSpecID)
	}
	if err := checkName(group); err != nil {
		return 0, err
	}
	return lookupGroup(root, group)
}

func checkID(p Passwd) error {
	if p.UID > maxSpecID || p.GID > maxSpecID {
		return fmt.Errorf("its ids %d:%d in /etc/passwd of the container are greater than %d", p.UID, p.GID, maxSpecID)
	}
	return nil
}

// checkName refuses names that are none in any tool, before a hostile file is asked for them.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("there is no name")
	case len(name) > 256:
		return errors.New("the name is longer than 256 bytes")
	case name[0] == '+' || name[0] == '-' || name[0] == '#':
		return errors.New("a name does not begin with " + strconv.Quote(name[:1]))
	case strings.ContainsAny(name, ": \u00a0/,") || !printable(name):
		return errors.New("a name has no blank, slash, colon, comma or control character")
	}
	return nil
}
