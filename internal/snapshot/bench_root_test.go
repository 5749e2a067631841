package snapshot

import (
	"context"
	"fmt"
	"os"
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

// BenchmarkRootContainer is what a container's root costs: prepare, mount, unmount, remove, with
// the deletion. "paths" is by containerd's interface and its mount code, as its own snapshotter is
// used; "descriptors" is how Hull does it. The extra columns are the parts. Unmounting waits for the
// kernel's grace period; a container that ends pays it in the background.
func BenchmarkRootContainer(b *testing.B) {
	ctx := context.Background()
	type parts struct{ prepare, mount, unmount, remove time.Duration }
	run := func(b *testing.B, sn snapshots.Snapshotter, one func(key string, p *parts)) {
		var p parts
		b.ResetTimer()
		for i := range b.N {
			one(fmt.Sprintf("c-%d", i), &p)
		}
		b.StopTimer()
		us := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
		b.ReportMetric(us(p.prepare), "µs-prepare")
		b.ReportMetric(us(p.mount), "µs-mount")
		b.ReportMetric(us(p.unmount), "µs-unmount")
		b.ReportMetric(us(p.remove), "µs-remove")
	}
	paths := func(b *testing.B, sn snapshots.Snapshotter) {
		dir := b.TempDir()
		top := benchImage(b, sn, dir)
		run(b, sn, func(key string, p *parts) {
			start := time.Now()
			m, err := sn.Prepare(ctx, key, top)
			must(b, err)
			prepared := time.Now()
			must(b, mount.All(m, dir))
			done := time.Now()
			must(b, unix.Unmount(dir, 0))
			unmounted := time.Now()
			must(b, sn.Remove(ctx, key))
			p.prepare += prepared.Sub(start)
			p.mount += done.Sub(prepared)
			p.unmount += unmounted.Sub(done)
			p.remove += time.Since(unmounted)
		})
		must(b, sn.(snapshots.Cleaner).Cleanup(ctx))
	}
	b.Run("containerd/paths", func(b *testing.B) {
		sn, err := overlay.NewSnapshotter(b.TempDir())
		must(b, err)
		defer sn.Close()
		paths(b, sn)
	})
	for _, driver := range []string{Overlay, EROFS, Native} {
		b.Run(driver+"/paths", func(b *testing.B) { paths(b, open(b, b.TempDir(), driver)) })
		b.Run(driver+"/descriptors", func(b *testing.B) {
			s := open(b, b.TempDir(), driver)
			top := benchImage(b, s, b.TempDir())
			run(b, s, func(key string, p *parts) {
				start := time.Now()
				must(b, s.Create(ctx, snapshots.KindActive, key, top))
				prepared := time.Now()
				f, err := s.Mount(ctx, key, MountOptions{})
				must(b, err)
				done := time.Now()
				must(b, f.Close())
				unmounted := time.Now()
				must(b, s.Remove(ctx, key))
				p.prepare += prepared.Sub(start)
				p.mount += done.Sub(prepared)
				p.unmount += unmounted.Sub(done)
				p.remove += time.Since(unmounted)
			})
			must(b, s.Cleanup(ctx))
		})
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
		sn, err := overlay.NewSnapshotter(b.TempDir())
		must(b, err)
		defer sn.Close()
		layer(b, sn)
	})
	for _, driver := range []string{Overlay, EROFS, Native} {
		b.Run(driver, func(b *testing.B) { layer(b, open(b, b.TempDir(), driver)) })
	}
}
