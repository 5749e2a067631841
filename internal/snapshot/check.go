package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// Kinds of problems.
type ProblemKind string

const (
	// Orphan: something in snapshots/ that no record owns. Repair deletes it.
	Orphan ProblemKind = "orphan"
	// Leftover: what an interrupted operation or a removal left: parts of snapshots that are not
	// needed, mount points, things in the trash. Repair deletes it.
	Leftover ProblemKind = "leftover"
	// Unmade: an active snapshot or a view without its directory. Repair makes it anew: it has
	// nothing in it but what its parent has.
	Unmade ProblemKind = "unmade"
	// Broken: a snapshot whose directory is not what it should be. Repair removes a committed one
	// that nothing active stands on, so that its image can be pulled again.
	Broken ProblemKind = "broken"
)

// Problem is a difference between store and disk.
type Problem struct {
	Kind   ProblemKind
	Path   string // relative to the store's root
	Name   string // of the snapshot, when there is one
	Detail string
	// Repaired: it was put right by this call.
	Repaired bool
}

func (p Problem) String() string {
	s := fmt.Sprintf("%s: %s", p.Kind, p.Path)
	if p.Name != "" {
		s += fmt.Sprintf(" of snapshot %q", p.Name)
	}
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	if p.Repaired {
		s += " (repaired)"
	}
	return s
}

// Check compares the store with the disk while nothing else runs, and repairs what it can when
// asked to. The trash is emptied first. It reads directories and superblocks, not the bytes of
// layers.
func (s *Snapshotter) Check(ctx context.Context, repair bool) ([]Problem, error) {
	s.busy.Lock()
	defer s.busy.Unlock()
	if s.rootDir < 0 {
		return nil, fmt.Errorf("check the snapshots in %s: closed: %w", s.root, errdefs.ErrUnavailable)
	}
	fixes := map[ProblemKind]bool{Orphan: repair, Leftover: repair, Unmade: repair, Broken: repair}
	err := s.trash.empty(ctx)
	var problems []Problem
	if err != nil {
		problems = append(problems, Problem{Kind: Leftover, Path: "trash", Detail: err.Error()})
	}
	found, err := s.check(ctx, fixes)
	problems = append(problems, found...)
	if err != nil {
		return problems, fmt.Errorf("check the snapshots in %s: %w", s.root, err)
	}
	if repair {
		if err := s.trash.empty(ctx); err != nil {
			return problems, fmt.Errorf("check the snapshots in %s: %w", s.root, err)
		}
	}
	return problems, nil
}

// sweep repairs what a crash leaves. What it cannot have left is reported by Check, and logged.
func (s *Snapshotter) sweep(ctx context.Context) error {
	problems, err := s.check(ctx, map[ProblemKind]bool{Orphan: true, Leftover: true, Unmade: true})
	for _, p := range problems {
		if p.Repaired {
			s.log.Info("swept after an earlier run", "what", p.String())
		} else {
			s.log.Error("the snapshots need a check", "what", p.String())
		}
	}
	s.trash.kick() // the last run's trash is deleted in the background
	return err
}

// record is a snapshot as the database knows it.
type record struct {
	id     string
	name   string
	kind   snapshots.Kind
	parent string
}

func (s *Snapshotter) records(ctx context.Context) (map[string]record, error) {
	out := make(map[string]record)
	err := s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		err := storage.WalkInfo(ctx, func(ctx context.Context, info snapshots.Info) error {
			id, _, _, err := storage.GetInfo(ctx, info.Name)
			if err != nil {
				return err
			}
			out[id] = record{id, info.Name, info.Kind, info.Parent}
			return nil
		})
		if errdefs.IsNotFound(err) {
			return nil // nothing was ever stored
		}
		return err
	})
	return out, err
}

func (s *Snapshotter) check(ctx context.Context, fix map[ProblemKind]bool) ([]Problem, error) {
	records, err := s.records(ctx)
	if err != nil {
		return nil, err
	}
	var problems []Problem
	report := func(p Problem, repair func() error) error {
		if fix[p.Kind] && repair != nil {
			if err := repair(); err != nil {
				p.Detail = strings.TrimPrefix(p.Detail+"; repairing it failed: "+err.Error(), "; ")
			} else {
				p.Repaired = true
			}
		}
		problems = append(problems, p)
		return ctx.Err()
	}
	if err := s.checkMounts(report); err != nil {
		return problems, err
	}
	entries, err := s.list(s.snapsDir)
	if err != nil {
		return problems, err
	}
	for _, e := range entries {
		_, owned := records[e.Name]
		if owned {
			continue
		}
		p := Problem{Kind: Orphan, Path: "snapshots/" + e.Name}
		if strings.HasPrefix(e.Name, "new-") {
			p.Kind = Leftover
		}
		if err := report(p, func() error { return s.discard(s.snapsDir, e.Name) }); err != nil {
			return problems, err
		}
	}
	ordered := make([]record, 0, len(records))
	for _, r := range records {
		ordered = append(ordered, r)
	}
	slices.SortFunc(ordered, func(a, b record) int {
		x, _ := strconv.ParseUint(a.id, 10, 64)
		y, _ := strconv.ParseUint(b.id, 10, 64)
		return cmp.Compare(x, y)
	})
	var broken []record
	details := make(map[string]string)
	for _, r := range ordered {
		err := s.checkOne(ctx, r, report)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return problems, ctx.Err()
		}
		broken = append(broken, r)
		details[r.name] = err.Error()
	}
	return problems, s.checkBroken(ctx, ordered, broken, details, report)
}

// checkOne reports what can be put right about a snapshot, and returns what cannot.
func (s *Snapshotter) checkOne(ctx context.Context, r record, report func(Problem, func() error) error) error {
	dir, err := s.dir(r.id)
	if errors.Is(err, unix.ENOENT) && r.kind != snapshots.KindCommitted {
		var snap storage.Snapshot
		if err := s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
			snap, err = storage.GetSnapshot(ctx, r.name)
			return err
		}); err != nil {
			return err
		}
		return report(Problem{Kind: Unmade, Path: "snapshots/" + r.id, Name: r.name}, func() error { return s.fill(ctx, snap) })
	}
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := s.driver.verify(dir, r.kind); err != nil {
		return err
	}
	// What a commit or an image that broke off left inside.
	entries, err := s.list(dir)
	if err != nil {
		return err
	}
	needed := s.driver.needs(r.kind)
	for _, e := range entries {
		if slices.Contains(needed, e.Name) {
			continue
		}
		p := Problem{Kind: Leftover, Path: "snapshots/" + r.id + "/" + e.Name, Name: r.name}
		if err := report(p, func() error { return s.discard(dir, e.Name) }); err != nil {
			return err
		}
	}
	return nil
}

// checkBroken reports the broken snapshots, children before parents. A broken committed one is
// removed with the committed ones on it, when nothing active stands on any of them.
func (s *Snapshotter) checkBroken(ctx context.Context, all, broken []record, details map[string]string, report func(Problem, func() error) error) error {
	for _, b := range slices.Backward(broken) {
		p := Problem{Kind: Broken, Path: "snapshots/" + b.id, Name: b.name, Detail: details[b.name]}
		if b.kind != snapshots.KindCommitted {
			p.Detail += "; an active snapshot is left for its owner to remove"
			if err := report(p, nil); err != nil {
				return err
			}
			continue
		}
		above := descendants(all, b.name)
		if i := slices.IndexFunc(above, func(r record) bool { return r.kind != snapshots.KindCommitted }); i >= 0 {
			p.Detail += fmt.Sprintf("; in use by %q", above[i].name)
			if err := report(p, nil); err != nil {
				return err
			}
			continue
		}
		err := report(p, func() error {
			for _, r := range slices.Backward(append([]record{b}, above...)) {
				if err := s.remove(ctx, r.name); err != nil && !errdefs.IsNotFound(err) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// descendants lists the snapshots that stand on name, parents before children.
func descendants(all []record, name string) []record {
	var out []record
	for _, r := range all {
		if r.parent == name {
			out = append(out, r)
			out = append(out, descendants(all, r.name)...)
		}
	}
	return out
}

// checkMounts finds mount points of earlier runs.
func (s *Snapshotter) checkMounts(report func(Problem, func() error) error) error {
	entries, err := s.list(s.mntDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err := report(Problem{Kind: Leftover, Path: "mnt/" + e.Name}, func() error {
			for {
				// Several may lie on each other. EINVAL: none is left.
				err := linux.Detach(s.mntDir, e.Name)
				if errors.Is(err, unix.EINVAL) {
					break
				}
				if err != nil {
					return err
				}
			}
			if unix.Unlinkat(s.mntDir, e.Name, unix.AT_REMOVEDIR) == nil {
				return nil
			}
			return s.discard(s.mntDir, e.Name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// list reads a directory of the store.
func (s *Snapshotter) list(dir int) ([]linux.DirEntry, error) {
	fd, err := linux.OpenBeneath(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return linux.ReadDir(fd)
}
