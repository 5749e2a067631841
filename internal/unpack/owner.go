package unpack

import (
	"errors"
	"fmt"
)

// owner is who gets an entry of the archive's ids.
func (x *extractor) owner(uid, gid uint32) (uint32, uint32, error) {
	if x.o.Owner != nil {
		uid, gid = x.o.Owner.UID, x.o.Owner.GID
	}
	if x.o.KeepOwner {
		return x.uid, x.gid, nil
	}
	u, ok := mapID(x.o.UIDMap, uid)
	if !ok && x.o.Unmapped != nil {
		u, ok = x.o.Unmapped.UID, true
	}
	if !ok {
		return 0, 0, refusal(ErrArchive, x.h.name, "user %d is not in the map of user ids", uid)
	}
	g, ok := mapID(x.o.GIDMap, gid)
	if !ok && x.o.Unmapped != nil {
		g, ok = x.o.Unmapped.GID, true
	}
	if !ok {
		return 0, 0, refusal(ErrArchive, x.h.name, "group %d is not in the map of group ids", gid)
	}
	return u, g, nil
}

// mapID maps an id of the archive; no map leaves it as it is.
func mapID(maps []IDMap, id uint32) (uint32, bool) {
	for _, m := range maps {
		if id >= m.Container && id-m.Container < m.Size {
			return m.Host + (id - m.Container), true
		}
	}
	return id, len(maps) == 0
}

// unmapID is the other direction.
func unmapID(maps []IDMap, id uint32) (uint32, bool) {
	for _, m := range maps {
		if id >= m.Host && id-m.Host < m.Size {
			return m.Container + (id - m.Host), true
		}
	}
	return id, len(maps) == 0
}

// checkMaps refuses maps that lead to 2^32-1, which chown(2) takes for "as it is" (R24).
func checkMaps(all ...[]IDMap) error {
	for _, maps := range all {
		for _, m := range maps {
			const end = 1<<32 - 1
			if m.Size == 0 || uint64(m.Container)+uint64(m.Size) > end || uint64(m.Host)+uint64(m.Size) > end {
				return fmt.Errorf("unpack: the id map %d:%d:%d is empty or out of range", m.Container, m.Host, m.Size)
			}
		}
	}
	if len(all) == 2 && (len(all[0]) == 0) != (len(all[1]) == 0) {
		return errors.New("unpack: a map of user ids needs one of group ids, and the other way round")
	}
	return nil
}
