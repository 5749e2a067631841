package snapshot

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"golang.org/x/sys/unix"
)

// benchLayers is how many layers the image of the benchmarks has, benchFiles how many files in each.
const (
	benchLayers = 10
	benchFiles  = 20
)

// benchRoot is a directory for a store on a file system of its own: ext4 makes files about ten times
// slower where many were deleted.
func benchRoot(b *testing.B) string {
	_, dir := loopFS(b, 2048)
	return dir + "/store"
}

// benchImage makes an image of small files.
func benchImage(b *testing.B, sn snapshots.Snapshotter, dir string) (top string) {
	ctx := context.Background()
	for i := range benchLayers {
		key, name := fmt.Sprintf("extract-%d", i), fmt.Sprintf("layer-%d", i)
		m, err := sn.Prepare(ctx, key, top)
		must(b, err)
		must(b, mount.All(m, dir))
		for j := range benchFiles {
			write(b, fmt.Sprintf("%s/%d-%d", dir, i, j), "some bytes\n")
		}
		must(b, mount.UnmountAll(dir, 0))
		must(b, sn.Commit(ctx, name, key))
		top = name
	}
	return top
}

// parts are the times of the steps of a container's root, in order.
type parts [4][]time.Duration

func (p *parts) add(times ...time.Time) {
	for i := range p {
		p[i] = append(p[i], times[i+1].Sub(times[i]))
	}
}

func (p *parts) report(b *testing.B) {
	var sum float64
	for i, name := range []string{"prepare", "mount", "unmount", "remove"} {
		slices.Sort(p[i])
		us := float64(p[i][len(p[i])/2].Nanoseconds()) / 1000
		sum += us
		b.ReportMetric(us, fmt.Sprintf("%d-%s-µs", i+1, name))
	}
	b.ReportMetric(sum, "5-sum-µs")
	b.ReportMetric(0, "ns/op") // a mean, of a disk that others use
}

// BenchmarkRootContainer is what a container's root costs: prepare, mount, unmount, remove; medians.
// "paths" is by containerd's interface and its mount code, as its own snapshotter is used;
// "descriptors" is how Hull does it. Unmounting an overlay syncs its whole file system, but for
// "volatile", which is for containers that are removed when they end.
func BenchmarkRootContainer(b *testing.B) {
	ctx := context.Background()
	volatile := snapshots.WithLabels(map[string]string{LabelVolatile: "true"})
	paths := func(b *testing.B, sn snapshots.Snapshotter, opts ...snapshots.Opt) {
		dir := b.TempDir()
		top := benchImage(b, sn, dir)
		var p parts
		for i := range b.N {
			key := fmt.Sprintf("c-%d", i)
			start := time.Now()
			m, err := sn.Prepare(ctx, key, top, opts...)
			must(b, err)
			prepared := time.Now()
			must(b, mount.All(m, dir))
			mounted := time.Now()
			must(b, unix.Unmount(dir, 0))
			unmounted := time.Now()
			must(b, sn.Remove(ctx, key))
			p.add(start, prepared, mounted, unmounted, time.Now())
		}
		must(b, sn.(snapshots.Cleaner).Cleanup(ctx))
		p.report(b)
	}
	descriptors := func(b *testing.B, s *Snapshotter, opts ...snapshots.Opt) {
		top := benchImage(b, s, b.TempDir())
		var p parts
		for i := range b.N {
			key := fmt.Sprintf("c-%d", i)
			start := time.Now()
			must(b, s.Create(ctx, snapshots.KindActive, key, top, opts...))
			prepared := time.Now()
			f, err := s.Mount(ctx, key, MountOptions{})
			must(b, err)
			mounted := time.Now()
			must(b, f.Close())
			unmounted := time.Now()
			must(b, s.Remove(ctx, key))
			p.add(start, prepared, mounted, unmounted, time.Now())
		}
		must(b, s.Cleanup(ctx))
		p.report(b)
	}
	for _, options := range [][]string{nil, {"volatile"}} {
		b.Run("containerd/paths/"+strings.Join(options, ""), func(b *testing.B) {
			sn, err := overlay.NewSnapshotter(benchRoot(b), overlay.WithMountOptions(options))
			must(b, err)
			defer sn.Close()
			paths(b, sn)
		})
	}
	for _, driver := range []string{Overlay, EROFS, Native} {
		b.Run(driver+"/paths", func(b *testing.B) { paths(b, open(b, benchRoot(b), driver)) })
		b.Run(driver+"/descriptors", func(b *testing.B) { descriptors(b, open(b, benchRoot(b), driver)) })
		if driver != Native {
			b.Run(driver+"/paths/volatile", func(b *testing.B) { paths(b, open(b, benchRoot(b), driver), volatile) })
			b.Run(driver+"/descriptors/volatile", func(b *testing.B) { descriptors(b, open(b, benchRoot(b), driver), volatile) })
		}
	}
}

// BenchmarkRootCommit is a layer of many small files: written, committed, removed.
func BenchmarkRootCommit(b *testing.B) {
	ctx := context.Background()
	const count = 5000
	fill := func(b *testing.B, dir string) {
		for i := range count / 50 {
			must(b, os.Mkdir(fmt.Sprintf("%s/d%d", dir, i), 0o755))
			for j := range 50 {
				write(b, fmt.Sprintf("%s/d%d/f%d", dir, i, j), "some bytes\n")
			}
		}
	}
	layer := func(b *testing.B, sn snapshots.Snapshotter) {
		dir := b.TempDir()
		var commits time.Duration
		for i := range b.N {
			key, name := fmt.Sprintf("extract-%d", i), fmt.Sprintf("layer-%d", i)
			m, err := sn.Prepare(ctx, key, "")
			must(b, err)
			must(b, mount.All(m, dir))
			fill(b, dir)
			must(b, mount.UnmountAll(dir, 0))
			start := time.Now()
			must(b, sn.Commit(ctx, name, key))
			commits += time.Since(start)
			must(b, sn.Remove(ctx, name))
		}
		must(b, sn.(snapshots.Cleaner).Cleanup(ctx))
		b.ReportMetric(float64(commits.Microseconds())/float64(b.N), "µs-commit")
	}
	b.Run("containerd", func(b *testing.B) {
		sn, err := overlay.NewSnapshotter(benchRoot(b))
		must(b, err)
		defer sn.Close()
		layer(b, sn)
	})
	for _, driver := range []string{Overlay, EROFS, Native} {
		b.Run(driver, func(b *testing.B) { layer(b, open(b, benchRoot(b), driver)) })
	}
}
