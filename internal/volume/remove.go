package volume

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// Remove removes a volume that nobody uses. Its disk space comes back in the background. With force,
// one that is not there is no error.
func (s *Store) Remove(name string, force bool) error {
	err := s.remove(name)
	if force && errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func (s *Store) remove(name string) error {
	v, err := s.find(name)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.volumes[name] != v {
		return noVolume(name)
	}
	if len(v.uses) > 0 {
		users := make([]string, 0, len(v.uses))
		for u := range v.uses {
			users = append(users, u)
		}
		slices.Sort(users)
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("remove %s: volume is in use - [%s]", name, strings.Join(users, ", ")))
	}
	if v.attached { // of a container that a crash has ended
		if err := linux.Detach(v.dir, dataName); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
		v.attached = false
	}
	trash := ".trash-" + token()
	if err := unix.Renameat(s.root, name, s.root, trash); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	s.c.At("volume.trashed")
	delete(s.volumes, name)
	v.removed = true
	unix.Close(v.dir)
	s.c.Event("destroy", name, map[string]string{"driver": localDriver})
	s.sweep(trash)
	return nil
}

// sweep deletes an entry of the store in the background.
func (s *Store) sweep(name string) {
	s.gone.Go(func() {
		if err := removeTree(context.Background(), s.root, name); err != nil {
			s.c.Log.Warn("deleting a volume; the next start goes on", "directory", name, "error", err)
		}
	})
}

// Prune removes the volumes that nobody uses and that fit f: anonymous ones, with all also those
// with a name. freed counts the bytes of their files.
func (s *Store) Prune(ctx context.Context, f Filter, all bool) (removed []string, freed int64, err error) {
	dangling := true
	f.Dangling = &dangling
	for _, v := range s.List(f) {
		if _, anonymous := v.Labels[AnonymousLabel]; !anonymous && !all {
			continue
		}
		if err := ctx.Err(); err != nil {
			return removed, freed, err
		}
		size, _, err := s.Usage(ctx, v.Name)
		if err != nil {
			size = 0
		}
		if err := s.remove(v.Name); err != nil { // somebody has begun to use it
			s.c.Log.Warn("a volume was not pruned", "volume", v.Name, "error", err)
			continue
		}
		removed = append(removed, v.Name)
		freed += max(size, 0)
	}
	s.c.Event("prune", "", map[string]string{"reclaimed": fmt.Sprint(freed)})
	return removed, freed, nil
}
